//! Where everything durable lives.
//!
//! [`ContactStore`] is the least an implementer must write; everything convenient is on [`crate::Engine`]. Three stores come with
//! the crate: [`MemoryStore`], written to be read, [`SqliteStore`], the embedded default, and `PostgresStore` (feature `postgres`), which
//! several machines share. `docs/write-a-store.md` walks
//! through a third, and [`crate::testkit`] proves it.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod codes;
pub(crate) mod copy;
pub mod memory;
mod open;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tally;
mod types;

pub use copy::{Copied, copy_store};
pub use memory::MemoryStore;
pub use open::{Migrated, migrate_store, open_store};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore, StoreClock};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
pub use types::*;

use crate::campaign::CampaignRecord;
use crate::contact::Contact;
use crate::error::Result;
use crate::id::{AttemptId, CampaignId, ContactId, NodeToken};
use crate::outcome::Attempt;
use crate::policy::gates::ContactFacts;
use crate::policy::limits::{Ledger, LimitScope};
use crate::policy::metrics::Counts;
use async_trait::async_trait;
use jiff::Timestamp;

/// Refuses contacts for a campaign that has ended. Stores look in the transaction that adds, so that none slips in while it ends.
///
/// # Errors
/// [`crate::Kind::State`] when it is completed, cancelled or failed.
pub fn open_for_contacts(record: &CampaignRecord) -> Result<()> {
    use crate::campaign::CampaignStatus::{Cancelled, Completed, Failed};
    if matches!(record.status, Completed | Cancelled | Failed) {
        let message = format!("the campaign is {}; re-execute it before adding contacts", record.status);
        return Err(crate::Error::new(crate::Kind::State, message).with("campaign", record.id));
    }
    Ok(())
}

/// Durable storage of campaigns, contacts and attempts.
///
/// # Contract
///
/// **Atomicity.** Every method is one transaction: it happens whole or not at all, and another call sees either. Methods that
/// take a batch apply the whole batch in one transaction.
///
/// **Durability.** When a method returns `Ok`, what it wrote survives `kill -9` of the process and, for stores that promise it,
/// loss of power. The engine hands a person to a provider only after `claim` has returned.
///
/// **Idempotence.** An answer can be lost while the transaction was committed, so every write can be repeated: the same
/// `request_id` on `create_campaign`, `add_contacts`, `claim` and `take_over` returns what the first call returned; `save_campaign` and
/// `update_contact` compare a revision; `settle` answers [`SettleAck::Stale`] for what is settled already. A repeated `claim` names
/// the same attempts, read anew, a repeated `take_over` those of them that are still open and held under the caller's token; one that
/// got nothing has nothing to repeat and may look again.
///
/// **Cancellation safety.** A caller may drop the future at any await. The transaction may then have happened or not; repeating
/// the call is safe.
///
/// **Legal changes only.** A status changes only by a value of [`crate::policy::transition`]; a store applies
/// [`crate::policy::transition::ContactTransition::to`] and refuses when `from` is not what it holds.
///
/// **Counts.** [`ContactStore::counts`] equals a count over all contacts of the campaign at every moment: change it in the same
/// transaction, or derive it.
///
/// **Time.** `now` in a request is the engine's clock. A store that several machines share uses its own clock instead and says
/// so in its answer (`Claims::now`). No transaction stays open across a call of a provider.
///
/// **Errors.** [`crate::Kind::Unavailable`] when the store cannot be reached or is locked (worth retrying),
/// [`crate::Kind::Full`], [`crate::Kind::Corrupt`], [`crate::Kind::Conflict`] for a failed compare-and-set,
/// [`crate::Kind::NotFound`] for an unknown id, [`crate::Kind::Stale`] when a node's lease is gone. Never a panic.
///
/// **Bodies of their own.** `wakes`, `counts_of` and `last_attempts` have one. The last two are made of other methods of the same store, so
/// a store that leaves them as they are is right, and slower where each asking has a price.
///
/// **Conformance.** `campaign_core::testkit::store` (feature `testkit`) checks all of this against any implementation.
#[async_trait]
pub trait ContactStore: Send + Sync + 'static {
    // --- campaigns -------------------------------------------------------------------------------------------------------

    /// Stores a new campaign: status `draft`, run 1, revision 1, spec version 1. Repeating a `request_id` returns the first.
    async fn create_campaign(&self, new: NewCampaign) -> Result<CampaignRecord>;

    /// One campaign.
    async fn campaign(&self, id: CampaignId) -> Result<Option<CampaignRecord>>;

    /// Campaigns, newest first.
    async fn campaigns(&self, query: CampaignQuery) -> Result<Page<CampaignRecord>>;

    /// Replaces the record if its stored revision is `expected_revision` and the guard holds; the stored revision becomes one
    /// higher, and [`ContactStore::changes`] moves. Returns the stored record.
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] when the revision differs, [`crate::Kind::State`] when the guard does not hold.
    async fn save_campaign(&self, save: SaveCampaign) -> Result<CampaignRecord>;

    /// Deletes a campaign with its contacts and attempts; open ones give back what they hold of shared limits. Suppressions stay. Unknown ids are fine.
    async fn delete_campaign(&self, id: CampaignId) -> Result<()>;

    // --- contacts --------------------------------------------------------------------------------------------------------

    /// Adds contacts to a campaign or a contact list; a phone number is unique per owner. Results are in the order of the batch.
    /// Numbers that a suppression of the campaign, of its organisation ([`AddContacts::organization`] for a list) or of everything covers are added
    /// with status `skipped`. New contacts are `pending`, due at `now`, in the campaign's current run.
    ///
    /// # Errors
    /// [`crate::Kind::State`] when the campaign has ended: nobody would look at them any more.
    async fn add_contacts(&self, add: AddContacts) -> Result<Vec<Added>>;

    /// One contact.
    async fn contact(&self, id: ContactId) -> Result<Option<Contact>>;

    /// Contacts of an owner, by ascending id.
    async fn contacts(&self, query: ContactQuery) -> Result<Page<Contact>>;

    /// Changes one contact if its version is as expected (a reply, a plan changed by hand). Moves [`ContactStore::changes`].
    ///
    /// # Errors
    /// [`crate::Kind::Conflict`] when the version differs, [`crate::Kind::State`] when the transition does not start from the contact's status,
    /// or leads into or out of `in_progress`: only claims and settlements do that.
    async fn update_contact(&self, update: UpdateContact) -> Result<Contact>;

    /// Removes contacts that are not in progress, with their attempts; returns how many went. Moves [`ContactStore::changes`].
    async fn remove_contacts(&self, owner: crate::contact::Owner, ids: Vec<ContactId>) -> Result<u64>;

    /// Changes up to `limit` contacts in bulk; returns how many it changed. The engine repeats it until that is less than
    /// `limit`, so a list of any size never holds the store for long.
    async fn bulk_change(&self, change: BulkChange) -> Result<u64>;

    // --- suppression -----------------------------------------------------------------------------------------------------

    /// Adds or replaces suppressions (by number and scope). Moves [`ContactStore::changes`].
    async fn suppress(&self, entries: Vec<Suppression>) -> Result<()>;

    /// Removes suppressions; returns how many went. Moves [`ContactStore::changes`].
    async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64>;

    /// Suppressions by number, ascending; within a number by [`SuppressionScope::place`].
    async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>>;

    // --- nodes -----------------------------------------------------------------------------------------------------------

    /// Registers this process and gives it a lease and a fencing token higher than every earlier one.
    async fn register_node(&self, node: NewNode) -> Result<NodeLease>;

    /// Renews the lease.
    ///
    /// # Errors
    /// [`crate::Kind::Stale`] when the lease has run out; the node must register anew and drop its claims.
    async fn renew_node(&self, renew: RenewNode) -> Result<()>;

    /// Ends the lease at once, so that others need not wait for it to run out: what the node still holds is taken over as soon as
    /// the quarantine after `not_after` has passed. Unknown tokens are fine.
    async fn retire_node(&self, token: NodeToken) -> Result<()>;

    /// Registered nodes whose lease has not run out at `now`, with what they hold.
    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeInfo>>;

    // --- execution -------------------------------------------------------------------------------------------------------

    /// Claims due contacts of one campaign: in one transaction picks them, lets [`ClaimRequest`]'s gates decide on each, takes a
    /// slot for each from its limits, writes an intent for each and marks the contact in progress.
    ///
    /// Candidates are `pending` contacts with `due_at <= horizon` whose zone is in `zones`; zones in the order given, within a zone by
    /// `due_at`, then id. A candidate the gates defer gets the new `due_at` and reason; one they rule out becomes `skipped` with
    /// its reason; neither takes a slot. `start_at` of an attempt is its slot, which [`crate::policy::limits::Pacer::take`] finds not before the contact's `due_at`.
    /// The ledgers of the deployment, the campaign, the account and the caller count every attempt in flight, limited or not: those in
    /// [`ClaimLimits::scopes`](crate::policy::limits::ClaimLimits::scopes) are written back as the pacer leaves them, in the others only `in_flight` grows.
    /// An attempt's `number` is one more than the contact has consumed in this run, its `key` is unique over all stores (the store's id and the
    /// attempt's id), its `not_after` is `start_at` plus [`ClaimRequest::grace`]; the contact's reason is cleared. The account and the
    /// slot's day are kept with it, because `settle` needs them.
    /// At most `max` are claimed and at most `max + 1000` looked at.
    /// Nothing is claimed when the campaign is not running or its revision is not the expected one: the answer then says so.
    ///
    /// # Errors
    /// [`crate::Kind::Stale`] when the node's lease is gone.
    async fn claim(&self, request: ClaimRequest) -> Result<Claims>;

    /// Makes providers' references of open attempts durable. Stale or settled attempts are passed over.
    async fn placed(&self, placed: Vec<Placed>) -> Result<()>;

    /// Ends attempts: stores the outcome, changes the contact, gives back the limits. Answers are in the order of the batch.
    /// A settlement whose attempt is not open any more or is held under another token answers [`SettleAck::Stale`] and changes nothing.
    ///
    /// [`crate::policy::limits::Ledger::settle`] is called for the same four ledgers that the claim counted in; only that of the campaign gives
    /// back [`Attempt::reserved`]. See [`AttemptEnd`] for what each end does to the attempt and the contact.
    ///
    /// # Errors
    /// [`crate::Kind::State`] when a transition does not start from `in_progress`; nothing of the batch has happened then.
    async fn settle(&self, request: SettleRequest) -> Result<SettleReply>;

    /// Adds what a provider says after the settlement (price, transcript, receipt): replaces the outcome of a settled attempt and
    /// corrects the sums: `spent` of its ledgers, and those of the contact when it is still in the attempt's run. The contact's status stays.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] for an unknown attempt, [`crate::Kind::State`] when it is not settled.
    async fn amend(&self, attempt: AttemptId, outcome: crate::outcome::Outcome) -> Result<Attempt>;

    /// Takes over open attempts of nodes whose lease ran out at least `quarantine` ago and whose `not_after` is at least as long
    /// ago; they are held under the caller's token from then on. What was handed over and what not is unknown: the caller asks the provider.
    /// Oldest first, at most `limit`. No ledger changes: the attempts stay in flight. [`ContactStore::changes`] moves when something was
    /// taken: a holder whose clock stood still finds out at its next hand-off.
    ///
    /// # Errors
    /// [`crate::Kind::Stale`] when the caller's lease is gone.
    async fn take_over(&self, request: TakeOver) -> Result<Vec<TakenOver>>;

    // --- reading ---------------------------------------------------------------------------------------------------------

    /// Counters of a campaign.
    async fn counts(&self, campaign: CampaignId) -> Result<Counts>;

    /// [`ContactStore::counts`] of several campaigns, in the order asked for; those that do not exist are left out. By itself asks for
    /// one after the other: a store does better where each asking has a price.
    async fn counts_of(&self, campaigns: Vec<CampaignId>) -> Result<Vec<(CampaignId, Counts)>> {
        let mut found = Vec::with_capacity(campaigns.len());
        for id in campaigns {
            match self.counts(id).await {
                Ok(counts) => found.push((id, counts)),
                Err(error) if error.kind() == crate::Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Attempts, newest first.
    async fn attempts(&self, query: AttemptQuery) -> Result<Page<Attempt>>;

    /// The newest attempt of each of these contacts, in the order asked for; those without one are left out. By itself asks
    /// [`ContactStore::attempts`] for one after the other.
    async fn last_attempts(&self, contacts: Vec<ContactId>) -> Result<Vec<Attempt>> {
        let mut found = Vec::with_capacity(contacts.len());
        for id in contacts {
            let query = AttemptQuery { contact: Some(id), paging: Paging { offset: 0, limit: 1 }, ..AttemptQuery::default() };
            found.extend(self.attempts(query).await?.items);
        }
        Ok(found)
    }

    /// Pending contacts of a campaign, grouped by zone: for each group the earliest due time. Must not read every contact.
    async fn pending_zones(&self, campaign: CampaignId) -> Result<Vec<PendingZone>>;

    /// Contacts of a campaign counted by status, zone, reason and whether they are due at `now`. May read every contact.
    async fn reasons(&self, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>>;

    /// What is known about the person behind a contact, for the gates. Recent hand-offs reach back to `since`, none without it; see
    /// [`crate::policy::gates::ClaimGates::look_back`]. Settled attempts of every contact with this number count, and open ones of *other*
    /// contacts, by the moment they are going to start; refused ones do not. Only campaigns of the same organisation are looked at, and of
    /// suppressions only those that cover the contact, so that nothing of one organisation shows in what another's contacts do. Those without
    /// an organisation are a group of their own; contacts of a list count among them, since a store does not know whose a list is.
    async fn facts(&self, contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> Result<ContactFacts>;

    /// Ledgers of these scopes, in that order; an unknown scope has an empty one.
    async fn ledgers(&self, scopes: Vec<LimitScope>) -> Result<Vec<Ledger>>;

    /// Settled attempts of a campaign, counted per time bucket by the moment they were settled; empty buckets are left out.
    async fn timeline(&self, query: TimelineQuery) -> Result<Vec<TimelineBucket>>;

    /// A counter that grows whenever somebody changed what a gate depends on: `save_campaign`, `delete_campaign`,
    /// `update_contact`, `remove_contacts`, `bulk_change`, `suppress`, `unsuppress`, and `take_over` when it took something. Cheap: asked before every hand-off. Callers compare it with what they saw in this process, so
    /// a store that no other process shares may begin anew when it is opened.
    async fn changes(&self) -> Result<u64>;

    /// Moves when another process may have written something worth looking at: events, a change, contacts that are due. Only a hint that
    /// saves waiting for the next look, so a store has none unless it says so.
    fn wakes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }

    /// What happened since the cursor, in the order it was committed: attempts claimed (`contact_started`) and settled (`contact_completed`
    /// when [`crate::outcome::Disposition::is_success`], else `contact_failed`; refused and unused ones are silent), and what
    /// [`crate::policy::announce::saved`] makes of a campaign that was saved (`status_changed`, `campaign_completed`, `budget_threshold`).
    async fn events(&self, query: EventQuery) -> Result<EventPage>;

    // --- documents -------------------------------------------------------------------------------------------------------

    /// Stores a small document (a contact list's name, an API key, a cursor, a pending webhook) by collection and key, if its
    /// stored revision is as expected (`Some(0)`: must not exist yet; `None`: whatever). Returns the new revision.
    async fn put_document(&self, put: PutDocument) -> Result<u64>;

    /// Documents of a collection by key, ascending.
    async fn documents(&self, query: DocumentQuery) -> Result<Vec<Document>>;

    /// Deletes a document; whether it was there.
    async fn delete_document(&self, collection: String, key: String) -> Result<bool>;

    /// Takes the next number of a named sequence, from 1. Numbers are never given twice; gaps may occur.
    async fn next_number(&self, sequence: String) -> Result<i64>;

    // --- copying ---------------------------------------------------------------------------------------------------------

    /// What there is besides campaigns, contacts, attempts and suppressions; for copying a store.
    async fn catalog(&self) -> Result<Catalog>;

    /// Writes records as they are, ids included, replacing what has the same id; for copying a store, restoring a backup and
    /// simulating over a copy. Counters follow, and ids and sequences given later are higher than any restored one. Restored open attempts
    /// belong to a node that is gone: the next `take_over` finds them after the quarantine.
    async fn restore(&self, snapshot: Snapshot) -> Result<()>;

    /// Writes what is buffered and lets go of files and connections. Calls after it fail with [`crate::Kind::Closed`].
    async fn close(&self) -> Result<()>;
}
