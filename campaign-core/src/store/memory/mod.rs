//! Everything in memory, written to be read: the reference for people who write a store.
//!
//! One mutex around one `State` makes every method a transaction. `State` keeps every record once and finds it through ordered
//! maps, so that the same calls give the same answers. A contact's state is only changed by `State::change`, which takes the
//! contact out of every index and every sum and puts it back: that is how counts and queues cannot differ from the contacts.
//!
//! - `mod.rs`: the records and their indexes, and the trait, method by method.
//! - `admin.rs`: campaigns, contacts, suppressions, documents, copies.
//! - `work.rs`: nodes, claim, settle, take-over.
//! - `read.rs`: listings and sums.

mod admin;
mod read;
mod work;

use super::*;
use crate::campaign::CampaignRecord;
use crate::contact::{Contact, ContactState, ContactStatus, Owner, ZoneKey};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, EventKind};
use crate::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use crate::outcome::{Attempt, Outcome};
use crate::phone::PhoneNumber;
use crate::policy::gates::ContactFacts;
use crate::policy::limits::{Ledger, LimitScope};
use crate::policy::metrics::Counts;
use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use uuid::Uuid;

/// Events kept for readers that fall behind.
const EVENTS_KEPT: usize = 100_000;
/// Answers of `add_contacts` kept for callers that repeat a request.
const ANSWERS_KEPT: usize = 1_024;
/// The longest page of a listing.
const PAGE_LIMIT: usize = 10_000;

/// Keeps everything in memory: for tests, for simulation, and for campaigns that need not survive the process.
///
/// Nothing is durable. Its futures complete at once, so it runs on any executor, and it never reads a clock: `now` of each request
/// is its time.
pub struct MemoryStore {
    state: Mutex<State>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        let (campaigns, contacts, attempts) = (state.campaigns.len(), state.contacts.len(), state.attempts.len());
        write!(f, "MemoryStore {{ campaigns: {campaigns}, contacts: {contacts}, attempts: {attempts} }}")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with a random id.
    pub fn new() -> Self {
        Self::with_id(Uuid::new_v4())
    }

    /// An empty store with this id, which goes into the idempotency keys: the same calls then give the same answers to the bit.
    pub fn with_id(store_id: Uuid) -> Self {
        Self { state: Mutex::new(State { store_id, events_kept: EVENTS_KEPT, ..State::default() }) }
    }

    /// For simulations of many contacts: keeps no events, and forgets the attempts of a contact as soon as it is terminal, save what
    /// frequency caps ask for. Counts stay exact; `attempts`, `timeline` and `events` know less.
    #[must_use]
    pub fn lean(self) -> Self {
        {
            let mut state = self.state.lock();
            state.lean = true;
            state.events_kept = 0;
        }
        self
    }

    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        match state.closed {
            true => Err(Error::new(Kind::Closed, "the store is closed")),
            false => Ok(state),
        }
    }
}

/// Everything the store knows.
#[derive(Default)]
struct State {
    store_id: Uuid,
    lean: bool,
    events_kept: usize,
    closed: bool,
    /// See [`ContactStore::changes`].
    changes: u64,
    campaigns: BTreeMap<CampaignId, Campaign>,
    lists: BTreeMap<crate::id::ListId, BTreeSet<ContactId>>,
    contacts: BTreeMap<ContactId, Box<Person>>,
    /// Every contact by number, then owner: a number is unique per owner, and caps and suppressions ask for it over all owners.
    numbers: BTreeMap<(PhoneNumber, Owner), ContactId>,
    attempts: BTreeMap<AttemptId, Box<Try>>,
    nodes: BTreeMap<NodeId, Node>,
    ledgers: BTreeMap<LimitScope, Ledger>,
    suppressions: BTreeMap<SuppressionKey, Suppression>,
    documents: BTreeMap<(String, String), Document>,
    sequences: BTreeMap<String, i64>,
    last: LastIds,
    answers: Answers,
    events: VecDeque<Event>,
    /// Sequence number of the last event; the last of `events` has it.
    last_event: i64,
}

/// The highest ids given so far.
#[derive(Default)]
struct LastIds {
    campaign: i64,
    contact: i64,
    attempt: i64,
    node: i64,
}

/// First answers, for requests that are repeated because their answer was lost.
#[derive(Default)]
struct Answers {
    created: BTreeMap<Uuid, CampaignId>,
    added: BTreeMap<Uuid, Vec<Added>>,
    added_order: VecDeque<Uuid>,
    claims: BTreeMap<Uuid, ClaimAnswer>,
    taken: BTreeMap<Uuid, (NodeToken, Vec<AttemptId>)>,
}

/// What a claim answered. The attempts and contacts themselves are read anew.
struct ClaimAnswer {
    token: NodeToken,
    attempts: Vec<AttemptId>,
    block: Option<crate::policy::limits::LimitBlock>,
    passed_over: u32,
    more: bool,
    now: Timestamp,
}

/// A campaign with the indexes of its contacts.
struct Campaign {
    record: CampaignRecord,
    contacts: BTreeSet<ContactId>,
    by_status: BTreeMap<ContactStatus, BTreeSet<ContactId>>,
    /// The queue: pending contacts by due time, per zone. Claiming reads it from the front and never looks at what is not due.
    pending: BTreeMap<ZoneKey, BTreeSet<(Timestamp, ContactId)>>,
    /// All but `by_status`, which the index of that name knows.
    sums: Counts,
}

impl Campaign {
    fn count(&self, status: ContactStatus) -> u64 {
        self.by_status.get(&status).map_or(0, |ids| ids.len() as u64)
    }

    fn open(&self) -> u64 {
        self.count(ContactStatus::Pending) + self.count(ContactStatus::InProgress)
    }
}

/// A contact with its attempts, oldest first.
struct Person {
    contact: Contact,
    attempts: Vec<AttemptId>,
    /// Hand-offs of attempts that a lean store has forgotten.
    forgotten: Vec<(Timestamp, crate::outcome::Channel)>,
}

/// An attempt and what it holds of the limits.
struct Try {
    attempt: Attempt,
    account: Option<Arc<str>>,
    day: ClaimedDay,
}

/// A registered process.
struct Node {
    token: NodeToken,
    name: String,
    started_at: Timestamp,
    /// `None`: retired.
    expires_at: Option<Timestamp>,
    open: BTreeSet<AttemptId>,
}

impl State {
    fn campaign(&self, id: CampaignId) -> Result<&Campaign> {
        self.campaigns.get(&id).ok_or_else(|| Error::not_found("campaign", id))
    }

    fn person(&self, id: ContactId) -> Result<&Person> {
        self.contacts.get(&id).map(Box::as_ref).ok_or_else(|| Error::not_found("contact", id))
    }

    fn attempt(&self, id: AttemptId) -> Result<&Try> {
        self.attempts.get(&id).map(Box::as_ref).ok_or_else(|| Error::not_found("attempt", id))
    }

    /// The only way a stored contact's state changes.
    fn change(&mut self, id: ContactId, change: impl FnOnce(&mut ContactState)) {
        self.change_contact(id, |contact| change(&mut contact.state));
    }

    /// The only way a stored contact changes. Unknown ids are passed over.
    fn change_contact(&mut self, id: ContactId, change: impl FnOnce(&mut Contact)) {
        let Some(person) = self.contacts.get_mut(&id) else { return };
        let campaign = match person.contact.owner {
            Owner::Campaign(id) => self.campaigns.get_mut(&id),
            Owner::List(_) => None,
        };
        match campaign {
            Some(campaign) => {
                campaign.leave(&person.contact);
                change(&mut person.contact);
                person.contact.state.version += 1;
                campaign.enter(&person.contact);
            }
            None => {
                change(&mut person.contact);
                person.contact.state.version += 1;
            }
        }
    }

    /// Puts a new contact into every index. The number must not be known to the owner yet.
    fn insert(&mut self, contact: Contact) {
        match contact.owner {
            Owner::Campaign(id) => {
                if let Some(campaign) = self.campaigns.get_mut(&id) {
                    campaign.contacts.insert(contact.id);
                    campaign.enter(&contact);
                }
            }
            Owner::List(id) => {
                self.lists.entry(id).or_default().insert(contact.id);
            }
        }
        self.numbers.insert((contact.person.phone.clone(), contact.owner), contact.id);
        self.contacts.insert(contact.id, Box::new(Person { contact, attempts: Vec::new(), forgotten: Vec::new() }));
    }

    /// Takes a contact out of every index, with its attempts. Open ones give back what they hold of the limits.
    fn remove(&mut self, id: ContactId) {
        let Some(person) = self.contacts.remove(&id) else { return };
        match person.contact.owner {
            Owner::Campaign(owner) => {
                if let Some(campaign) = self.campaigns.get_mut(&owner) {
                    campaign.leave(&person.contact);
                    campaign.contacts.remove(&id);
                }
            }
            Owner::List(owner) => {
                if let Some(members) = self.lists.get_mut(&owner) {
                    members.remove(&id);
                }
            }
        }
        self.numbers.remove(&(person.contact.person.phone.clone(), person.contact.owner));
        for attempt in person.attempts {
            self.remove_attempt(attempt);
        }
    }

    fn remove_attempt(&mut self, id: AttemptId) {
        let Some(entry) = self.attempts.remove(&id) else { return };
        if entry.attempt.state.is_open() {
            // Whether it was handed over is not known, so its start stays counted.
            self.give_back(&entry, crate::policy::limits::Release::Used(Money::ZERO));
            if let Some(node) = self.nodes.get_mut(&entry.attempt.claimed_by.node) {
                node.open.remove(&id);
            }
        }
    }

    /// Tells the ledgers of an attempt that it has ended.
    fn give_back(&mut self, entry: &Try, release: crate::policy::limits::Release) {
        for scope in scopes_of(&entry.attempt, entry.account.as_ref()) {
            let reserved = match scope {
                LimitScope::Campaign(_) => entry.attempt.reserved,
                _ => Money::ZERO,
            };
            self.ledgers.entry(scope).or_default().settle(reserved, entry.day, release);
        }
    }

    fn emit(&mut self, campaign_id: CampaignId, at: Timestamp, kind: EventKind) {
        self.last_event += 1;
        if self.events_kept == 0 {
            return;
        }
        if self.events.len() == self.events_kept {
            self.events.pop_front();
        }
        self.events.push_back(Event { campaign_id, at, kind });
    }
}

impl Campaign {
    fn enter(&mut self, contact: &Contact) {
        let state = &contact.state;
        self.by_status.entry(state.status).or_default().insert(contact.id);
        if state.status == ContactStatus::Pending {
            match self.pending.get_mut(&contact.person.zones) {
                Some(queue) => queue.insert((state.due_at, contact.id)),
                None => self.pending.entry(contact.person.zones.clone()).or_default().insert((state.due_at, contact.id)),
            };
        }
        self.sums.call_attempts += u64::from(state.call_attempts);
        self.sums.answered_calls += u64::from(state.answered_calls);
        self.sums.duration_seconds += state.duration_seconds;
        self.sums.cost += state.cost;
    }

    fn leave(&mut self, contact: &Contact) {
        let state = &contact.state;
        if let Some(ids) = self.by_status.get_mut(&state.status) {
            ids.remove(&contact.id);
        }
        if state.status == ContactStatus::Pending
            && let Some(queue) = self.pending.get_mut(&contact.person.zones)
        {
            queue.remove(&(state.due_at, contact.id));
        }
        self.sums.call_attempts -= u64::from(state.call_attempts);
        self.sums.answered_calls -= u64::from(state.answered_calls);
        self.sums.duration_seconds -= state.duration_seconds;
        self.sums.cost -= state.cost;
    }
}

/// The ledgers that count an attempt, limited or not: deployment, campaign, account and caller.
fn scopes_of(attempt: &Attempt, account: Option<&Arc<str>>) -> impl Iterator<Item = LimitScope> + use<> {
    [LimitScope::Deployment, LimitScope::Campaign(attempt.campaign)]
        .into_iter()
        .chain(account.cloned().map(LimitScope::Account))
        .chain(attempt.from.clone().map(LimitScope::Caller))
}

/// What a settled attempt cost: what the provider said, else what was reserved.
fn cost_of(attempt: &Attempt, outcome: &Outcome) -> Money {
    outcome.cost.unwrap_or(attempt.reserved)
}

fn contains(text: &str, needle: &str) -> bool {
    needle.is_empty() || text.as_bytes().windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle.as_bytes()))
}

/// Cuts one page out of everything that matches.
fn page<T>(matches: impl Iterator<Item = T>, paging: Paging, count: bool) -> Page<T> {
    let offset = usize::try_from(paging.offset).unwrap_or(usize::MAX);
    let limit = (paging.limit as usize).min(PAGE_LIMIT);
    let mut items = Vec::new();
    let mut total = 0;
    for (index, item) in matches.enumerate() {
        total += 1;
        if index >= offset && items.len() < limit {
            items.push(item);
        } else if !count && items.len() >= limit {
            break;
        }
    }
    Page { items, total: if count { total } else { 0 } }
}

#[async_trait]
impl ContactStore for MemoryStore {
    async fn create_campaign(&self, new: NewCampaign) -> Result<CampaignRecord> {
        self.state()?.create_campaign(new)
    }

    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>> {
        Ok(self.state()?.campaigns.get(&id).map(|campaign| campaign.record.clone()))
    }

    async fn campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>> {
        Ok(self.state()?.list_campaigns(&query))
    }

    async fn save_campaign(&self, save: SaveCampaign) -> Result<CampaignRecord> {
        self.state()?.save_campaign(save)
    }

    async fn delete_campaign(&self, id: CampaignId) -> Result<()> {
        self.state()?.delete_campaign(id);
        Ok(())
    }

    async fn add_contacts(&self, add: AddContacts) -> Result<Vec<Added>> {
        self.state()?.add_contacts(&add)
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>> {
        Ok(self.state()?.contacts.get(&id).map(|person| person.contact.clone()))
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Page<Contact>> {
        Ok(self.state()?.list_contacts(&query))
    }

    async fn update_contact(&self, update: UpdateContact) -> Result<Contact> {
        self.state()?.update_contact(update)
    }

    async fn remove_contacts(&self, owner: Owner, ids: Vec<ContactId>) -> Result<u64> {
        Ok(self.state()?.remove_contacts(owner, &ids))
    }

    async fn bulk_change(&self, change: BulkChange) -> Result<u64> {
        self.state()?.bulk_change(&change)
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        self.state()?.suppress(entries);
        Ok(())
    }

    async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64> {
        Ok(self.state()?.unsuppress(&keys))
    }

    async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>> {
        Ok(self.state()?.list_suppressions(&query))
    }

    async fn register_node(&self, node: NewNode) -> Result<NodeLease> {
        Ok(self.state()?.register_node(node))
    }

    async fn renew_node(&self, renew: RenewNode) -> Result<()> {
        self.state()?.renew_node(renew)
    }

    async fn retire_node(&self, token: NodeToken) -> Result<()> {
        self.state()?.retire_node(token);
        Ok(())
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeInfo>> {
        Ok(self.state()?.live_nodes(now))
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.state()?.claim(&request)
    }

    async fn placed(&self, placed: Vec<Placed>) -> Result<()> {
        self.state()?.placed(placed);
        Ok(())
    }

    async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
        self.state()?.settle(&request)
    }

    async fn amend(&self, attempt: AttemptId, outcome: Outcome) -> Result<Attempt> {
        self.state()?.amend(attempt, outcome)
    }

    async fn take_over(&self, request: TakeOver) -> Result<Vec<TakenOver>> {
        self.state()?.take_over(&request)
    }

    async fn counts(&self, campaign: CampaignId) -> Result<Counts> {
        self.state()?.counts(campaign)
    }

    async fn attempts(&self, query: AttemptQuery) -> Result<Page<Attempt>> {
        Ok(self.state()?.list_attempts(&query))
    }

    async fn pending_zones(&self, campaign: CampaignId) -> Result<Vec<PendingZone>> {
        self.state()?.pending_zones(campaign)
    }

    async fn reasons(&self, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
        self.state()?.reasons(campaign, now)
    }

    async fn facts(&self, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts> {
        let state = self.state()?;
        Ok(state.facts(&state.person(contact)?.contact, since, now))
    }

    async fn ledgers(&self, scopes: Vec<LimitScope>) -> Result<Vec<Ledger>> {
        let state = self.state()?;
        Ok(scopes.iter().map(|scope| state.ledgers.get(scope).copied().unwrap_or_default()).collect())
    }

    async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>> {
        self.state()?.timeline(&query)
    }

    async fn changes(&self) -> Result<u64> {
        Ok(self.state()?.changes)
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage> {
        Ok(self.state()?.list_events(&query))
    }

    async fn put_document(&self, put: PutDocument) -> Result<u64> {
        self.state()?.put_document(put)
    }

    async fn documents(&self, query: DocumentQuery) -> Result<Vec<Document>> {
        Ok(self.state()?.list_documents(&query))
    }

    async fn delete_document(&self, collection: String, key: String) -> Result<bool> {
        Ok(self.state()?.documents.remove(&(collection, key)).is_some())
    }

    async fn next_number(&self, sequence: String) -> Result<i64> {
        let mut state = self.state()?;
        let number = state.sequences.entry(sequence).or_default();
        *number += 1;
        Ok(*number)
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(self.state()?.catalog())
    }

    async fn restore(&self, snapshot: Snapshot) -> Result<()> {
        self.state()?.restore(snapshot)
    }

    async fn close(&self) -> Result<()> {
        self.state()?.closed = true;
        Ok(())
    }
}
