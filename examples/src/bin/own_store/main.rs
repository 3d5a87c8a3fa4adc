//! A store of your own, from the first line to a green conformance suite. `docs/write-a-store.md` walks through it.
//!
//! It keeps every record in memory and writes what each transaction changed to a journal, which it reads when it is opened anew.
//!
//! - `main.rs`: the store, method by method, and the proof that it holds.
//! - `state.rs`: the records, their changes, and what is derived from them.
//! - `journal.rs`: the file.
//! - `people.rs`, `work.rs`, `read.rs`: what the methods do.
//!
//! Run it with `cargo run -p campaign-examples --bin own_store`.

#![expect(clippy::print_stdout, reason = "an example talks to the person who runs it")]

mod journal;
mod people;
mod read;
mod state;
mod work;

use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeToken};
use campaign_core::outcome::{Attempt, Outcome};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::limits::{Ledger, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use campaign_core::{Error, Kind, Result, async_trait, testkit};
use jiff::Timestamp;
use journal::Journal;
use state::{Series, State};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use uuid::Uuid;

/// Keeps everything in memory, and a journal of it in a folder.
struct JournalStore {
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// `None`: the store is closed.
    journal: Option<Journal>,
}

impl JournalStore {
    fn open(folder: &Path) -> Result<Self> {
        let (journal, state) = Journal::open(folder)?;
        Ok(Self { inner: Mutex::new(Inner { state, journal: Some(journal) }) })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>> {
        // A transaction that panicked was left halfway; what it did is not in the journal.
        let inner = self.inner.lock().map_err(|_| Error::new(Kind::Internal, "a call has panicked; open the store anew"))?;
        if inner.journal.is_none() {
            return Err(Error::new(Kind::Closed, "the store is closed"));
        }
        Ok(inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T> {
        Ok(look(&self.lock()?.state))
    }

    /// One transaction: it is in memory and on the disk, or it has not happened.
    fn write<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut inner = self.lock()?;
        let Inner { state, journal: Some(journal) } = &mut *inner else {
            return Err(Error::new(Kind::Closed, "the store is closed"));
        };
        let answer = work(state).and_then(|answer| journal.append(&state.done).map(|()| answer));
        match answer {
            Ok(_) => state.keep(),
            Err(_) => state.take_back(),
        }
        answer
    }

    /// A transaction that nothing but the disk can refuse.
    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T> {
        self.write(|state| Ok(work(state)))
    }
}

#[async_trait]
impl ContactStore for JournalStore {
    async fn create_campaign(&self, new: NewCampaign) -> Result<CampaignRecord> {
        self.write(|state| state.create_campaign(new))
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>> {
        self.read(|state| state.campaigns.get(&id).cloned())
    }

    async fn campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>> {
        self.read(|state| state.list_campaigns(&query))
    }

    async fn save_campaign(&self, save: SaveCampaign) -> Result<CampaignRecord> {
        self.write(|state| state.save_campaign(save))
    }

    async fn delete_campaign(&self, id: CampaignId) -> Result<()> {
        self.change(|state| state.delete_campaign(id))
    }

    async fn add_contacts(&self, add: AddContacts) -> Result<Vec<Added>> {
        self.write(|state| state.add_contacts(&add))
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>> {
        self.read(|state| state.contacts.get(&id).cloned())
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Page<Contact>> {
        self.read(|state| state.list_contacts(&query))
    }

    async fn update_contact(&self, update: UpdateContact) -> Result<Contact> {
        self.write(|state| state.update_contact(update))
    }

    async fn remove_contacts(&self, owner: Owner, ids: Vec<ContactId>) -> Result<u64> {
        self.change(|state| state.remove_contacts(owner, &ids))
    }

    async fn bulk_change(&self, change: BulkChange) -> Result<u64> {
        self.write(|state| state.bulk_change(&change))
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        self.change(|state| state.suppress(entries))
    }

    async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64> {
        self.change(|state| state.unsuppress(keys))
    }

    async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>> {
        self.read(|state| state.list_suppressions(&query))
    }

    async fn register_node(&self, node: NewNode) -> Result<NodeLease> {
        self.change(|state| state.register_node(node))
    }

    async fn renew_node(&self, renew: RenewNode) -> Result<()> {
        self.write(|state| state.renew_node(renew))
    }

    async fn retire_node(&self, token: NodeToken) -> Result<()> {
        self.change(|state| state.retire_node(token))
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeInfo>> {
        self.read(|state| state.live_nodes(now))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.write(|state| state.claim(&request))
    }

    async fn placed(&self, placed: Vec<Placed>) -> Result<()> {
        self.change(|state| state.placed(placed))
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
        self.write(|state| state.settle(&request))
    }

    async fn amend(&self, attempt: AttemptId, outcome: Outcome) -> Result<Attempt> {
        self.write(|state| state.amend(attempt, outcome))
    }

    async fn take_over(&self, request: TakeOver) -> Result<Vec<TakenOver>> {
        self.write(|state| state.take_over(&request))
    }

    async fn counts(&self, campaign: CampaignId) -> Result<Counts> {
        self.read(|state| state.counts(campaign))?
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Page<Attempt>> {
        self.read(|state| state.list_attempts(&query))
    }

    async fn pending_zones(&self, campaign: CampaignId) -> Result<Vec<PendingZone>> {
        self.read(|state| state.pending_zones(campaign))?
    }

    async fn reasons(&self, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        self.read(|state| state.reasons(campaign, now))?
    }

    async fn facts(&self, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        self.read(|state| state.facts_of(contact, since, now))?
    }

    async fn ledgers(&self, scopes: Vec<LimitScope>) -> Result<Vec<Ledger>> {
        self.read(|state| scopes.iter().map(|scope| state.ledgers.get(scope).copied().unwrap_or_default()).collect())
    }

    async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>> {
        self.read(|state| state.timeline(&query))?
    }

    async fn changes(&self) -> Result<u64> {
        self.read(|state| state.changes)
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage> {
        self.read(|state| state.list_events(&query))
    }

    async fn put_document(&self, put: PutDocument) -> Result<u64> {
        self.write(|state| state.put_document(put))
    }

    async fn documents(&self, query: DocumentQuery) -> Result<Vec<Document>> {
        self.read(|state| state.list_documents(&query))
    }

    async fn delete_document(&self, collection: String, key: String) -> Result<bool> {
        self.change(|state| state.delete_document(collection, key))
    }

    async fn next_number(&self, sequence: String) -> Result<i64> {
        self.change(|state| state.next(Series::Named(sequence)))
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.read(State::catalog)
    }

    async fn restore(&self, snapshot: Snapshot) -> Result<()> {
        self.write(|state| state.restore(snapshot))
    }

    async fn close(&self) -> Result<()> {
        self.lock()?.journal = None;
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let checks = testkit::store::checks().len();
    // Every check wants an empty store, so each gets a folder of its own.
    let base = folder.path().to_owned();
    testkit::store::run(|| {
        let folder = base.join(Uuid::new_v4().to_string());
        Box::pin(async move { Ok(Arc::new(JournalStore::open(&folder)?) as Arc<dyn ContactStore>) })
    })
    .await?;
    println!("All {checks} checks of the conformance suite pass.");

    let records = reopen(&folder.path().join("durable")).await?;
    println!("Opened anew after a crash in the middle of a write, the store has all {records} records.");
    Ok(())
}

/// Fills a store with hundreds of random calls, crashes in the middle of one more, and compares what a new process would find.
async fn reopen(folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let store = Arc::new(JournalStore::open(folder)?);
    testkit::store::compare(Arc::clone(&store) as Arc<dyn ContactStore>, 7, 400).await.map_err(|broken| broken.to_string())?;
    let before = store.read(|state| (serde_json::to_string(&state.records()), state.records().len()))?;
    if JournalStore::open(folder).is_ok() {
        return Err("two stores were open on one folder".into());
    }
    // Nothing is closed and nothing flushed: what is not in the file by now is lost.
    drop(store);
    std::fs::File::options().append(true).open(folder.join("journal"))?.write_all(b"[{\"Last\":[\"Contact\",99")?;

    let store = JournalStore::open(folder)?;
    let after = store.read(|state| (serde_json::to_string(&state.records()), state.records().len()))?;
    if before.0? != after.0? {
        return Err("the store has forgotten something".into());
    }
    Ok(after.1)
}
