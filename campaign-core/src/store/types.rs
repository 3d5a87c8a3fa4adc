//! Arguments and answers of the store. Small structs, so that a field can be added without touching an implementation.

use crate::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, CampaignType};
use crate::contact::{Contact, ContactStatus, NewContact, Owner, PlannedStep, Reason, ZoneKey};
use crate::event::Event;
use crate::id::{AttemptId, CampaignId, ContactId, Money, NodeId, NodeToken};
use crate::outcome::{Attempt, Channel, Disposition, Outcome};
use crate::phone::PhoneNumber;
use crate::policy::gates::ClaimGates;
use crate::policy::limits::{ClaimLimits, LimitBlock};
use crate::policy::transition::ContactTransition;
use crate::redact::debug_without;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Spans of time as a number of seconds, for stores written in another language.
mod seconds {
    use jiff::SignedDuration;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &SignedDuration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(span.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
        SignedDuration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many there are in all pages.
    pub total: u64,
}

/// Which part of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    /// How many to leave out.
    pub offset: u64,
    /// How many to return, at most 10,000.
    pub limit: u32,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl Paging {
    /// What is left of it in a listing of so many: who knows the length need not look for more behind the last one.
    pub(super) fn within(self, total: u64) -> Self {
        Self { limit: self.limit.min(u32::try_from(total.saturating_sub(self.offset)).unwrap_or(u32::MAX)), ..self }
    }
}

impl Default for Paging {
    /// The first 50.
    fn default() -> Self {
        Self { offset: 0, limit: 50 }
    }
}

/// A campaign to be stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewCampaign {
    /// Made by the caller; repeating it returns the first answer.
    pub request_id: Uuid,
    /// The checked spec.
    pub spec: CampaignSpec,
    /// The engine's clock.
    pub now: Timestamp,
}

/// Which campaigns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CampaignQuery {
    /// With one of these statuses; empty: all.
    pub statuses: Vec<CampaignStatus>,
    /// Of this kind.
    pub campaign_type: Option<CampaignType>,
    /// Of this organisation. `None`: of any and of none; it is no filter.
    #[serde(default)]
    pub organization: Option<i64>,
    /// With this assistant.
    pub assistant_id: Option<i64>,
    /// Whose name or description contains this, whatever the case (ASCII).
    pub search: Option<String>,
    /// Which part.
    pub paging: Paging,
    /// Whether `Page::total` is wanted: who only walks through all pages needs none, and a store need not tell it then.
    #[serde(default = "yes")]
    pub count: bool,
}

fn yes() -> bool {
    true
}

impl Default for CampaignQuery {
    /// Every campaign, first page.
    fn default() -> Self {
        Self {
            statuses: Vec::new(),
            campaign_type: None,
            organization: None,
            assistant_id: None,
            search: None,
            paging: Paging::default(),
            count: true,
        }
    }
}

/// What must hold besides the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaveGuard {
    /// No contact is pending or in progress.
    NoOpenContacts,
    /// At least one contact is pending.
    SomePendingContacts,
}

/// A campaign record to be replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SaveCampaign {
    /// The new record; its `revision` is ignored.
    pub record: CampaignRecord,
    /// The revision it was read with.
    pub expected_revision: u64,
    /// What must hold besides.
    pub guard: Option<SaveGuard>,
    /// The engine's clock; becomes `updated_at`.
    pub now: Timestamp,
}

/// What to do with a number that the owner has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// Keep the old contact as it is.
    #[default]
    Skip,
    /// Keep the old contact and its state; take over name, email, company, zones, consent and variables that the new row has.
    UpdateVariables,
}

/// Contacts to be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddContacts {
    /// Made by the caller; repeating it returns the first answer, at least while the caller lives.
    pub request_id: Uuid,
    /// To whom.
    pub owner: Owner,
    /// The organisation of a contact list, whose suppressions hold, too. Not looked at for a campaign: its record says it.
    #[serde(default)]
    pub organization: Option<i64>,
    /// Normalised contacts. Shared, so that a repeated call costs no copy.
    pub contacts: Arc<[NewContact]>,
    /// What to do with known numbers.
    pub duplicates: DuplicatePolicy,
    /// The engine's clock.
    pub now: Timestamp,
}

/// What became of one contact that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// Stored.
    New(ContactId),
    /// Stored as skipped: the number is suppressed.
    Suppressed(ContactId),
    /// The number was there already; nothing changed.
    Duplicate(ContactId),
    /// The number was there already; its data was updated.
    Updated(ContactId),
}

/// Which contacts.
#[derive(Clone, Serialize, Deserialize)]
pub struct ContactQuery {
    /// Whose.
    pub owner: Owner,
    /// With one of these statuses; empty: all.
    pub statuses: Vec<ContactStatus>,
    /// Whose name, email or number contains this, whatever the case (ASCII).
    pub search: Option<String>,
    /// Only ids above this one; for walking through a list of any length.
    pub after: Option<ContactId>,
    /// Which part.
    pub paging: Paging,
    /// Whether `Page::total` is wanted; counting a large list with a search takes time. Without it `total` is 0.
    pub count: bool,
}

debug_without!(ContactQuery { owner, statuses, after, paging, count } hides { search });

impl ContactQuery {
    /// Every contact of an owner, first page.
    pub fn of(owner: Owner) -> Self {
        Self { owner, statuses: Vec::new(), search: None, after: None, paging: Paging::default(), count: true }
    }
}

/// One contact to be changed.
#[derive(Debug, Clone, Serialize)]
pub struct UpdateContact {
    /// Which.
    pub id: ContactId,
    /// The version it was read with.
    pub expected_version: u64,
    /// The change of its status, if any.
    pub transition: Option<ContactTransition>,
    /// The new reason, if it changes.
    pub reason: Option<Reason>,
    /// The new due time, if it changes.
    pub due_at: Option<Timestamp>,
    /// The new planned step, if it changes.
    pub step: Option<PlannedStep>,
    /// When the person answered back, if they did.
    pub replied_at: Option<Timestamp>,
    /// The engine's clock.
    pub now: Timestamp,
}

/// Which contacts a bulk change touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// All with a status the change can start from.
    All,
    /// Those with one of these statuses.
    Statuses(Vec<ContactStatus>),
    /// These.
    Ids(Vec<ContactId>),
}

/// What a bulk change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// Terminal contacts whose `run` is below this one become pending in it: state as new, sums zero, counters follow. Their attempts stay.
    /// Before that the old result (run, status, reason, attempts, sums) is kept where `attempts` of that run can be read.
    Reset {
        /// The run they become part of.
        run: u32,
    },
    /// Pending contacts become `cancelled`.
    Cancel {
        /// Why.
        reason: Reason,
    },
    /// Pending contacts become `skipped` (the run's deadline has passed).
    Skip {
        /// Why.
        reason: Reason,
    },
    /// Pending contacts are removed altogether (an import that replaces earlier ones); so are skipped ones.
    RemoveUntouched,
}

/// A bulk change of a campaign's contacts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BulkChange {
    /// Whose.
    pub campaign: CampaignId,
    /// Which.
    pub selection: Selection,
    /// What.
    pub action: BulkAction,
    /// At most so many.
    pub limit: u32,
    /// The engine's clock.
    pub now: Timestamp,
}

/// What a suppression covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionScope {
    /// Every campaign of the store, whosever it is.
    #[default]
    Everything,
    /// Every campaign and contact list of one organisation.
    Organization(i64),
    /// One campaign.
    Campaign(CampaignId),
}

impl SuppressionScope {
    /// What somebody who acts for this organisation may suppress at most: its own campaigns, or everything for the program itself.
    pub fn of(organization: Option<i64>) -> Self {
        organization.map_or(Self::Everything, Self::Organization)
    }

    /// The organisation whose scope this is.
    pub fn organization(self) -> Option<i64> {
        match self {
            Self::Organization(id) => Some(id),
            Self::Everything | Self::Campaign(_) => None,
        }
    }

    /// One number for each scope: minus an organisation's id, 0 for everything, a campaign's id. Listings are in this order within
    /// a phone number, and stores may keep it instead of the scope.
    pub fn place(self) -> i64 {
        match self {
            Self::Organization(id) => id.saturating_neg(),
            Self::Everything => 0,
            Self::Campaign(id) => id.0,
        }
    }

    /// Those that cover contacts of this owner and organisation. When several hold, the first gives the reason.
    pub fn covering(owner: Owner, organization: Option<i64>) -> impl Iterator<Item = Self> {
        let own = match owner {
            Owner::Campaign(id) => Some(Self::Campaign(id)),
            Owner::List(_) => None,
        };
        [Some(Self::Everything), organization.map(Self::Organization), own].into_iter().flatten()
    }
}

/// By [`SuppressionScope::place`].
impl Ord for SuppressionScope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

impl PartialOrd for SuppressionScope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A person who must not be contacted, on any channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// The number.
    pub phone: PhoneNumber,
    /// What it covers.
    #[serde(default)]
    pub scope: SuppressionScope,
    /// Why, for example `opted_out`.
    pub reason: String,
    /// Where it came from, for example `api`, `import`, `sms_reply`.
    #[serde(default)]
    pub source: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it ends; `None`: never.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

/// Names one suppression.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SuppressionKey {
    /// The number.
    pub phone: PhoneNumber,
    /// Its scope.
    pub scope: SuppressionScope,
}

/// Which suppressions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SuppressionQuery {
    /// Of this number.
    pub phone: Option<PhoneNumber>,
    /// Of this scope.
    pub scope: Option<SuppressionScope>,
    /// Only numbers above this one; for walking through a list of any length.
    pub after: Option<SuppressionKey>,
    /// Which part.
    pub paging: Paging,
}

/// A process that wants to execute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewNode {
    /// A name for people, for example the host name and process id.
    pub name: String,
    /// How long the lease lasts without renewal.
    #[serde(with = "seconds")]
    pub lease: SignedDuration,
    /// The engine's clock.
    pub now: Timestamp,
}

/// The lease of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLease {
    /// Its right to claim and settle.
    pub token: NodeToken,
    /// The id of the store; makes idempotency keys unique over stores.
    pub store_id: Uuid,
    /// When the lease runs out, by the store's clock.
    pub expires_at: Timestamp,
    /// The store's clock.
    pub now: Timestamp,
}

/// A lease to be renewed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RenewNode {
    /// Whose.
    pub token: NodeToken,
    /// How long it lasts from now.
    #[serde(with = "seconds")]
    pub lease: SignedDuration,
    /// The engine's clock.
    pub now: Timestamp,
}

/// A node and its load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// When it registered.
    pub started_at: Timestamp,
    /// When its lease runs out.
    pub expires_at: Timestamp,
    /// Open attempts it holds.
    pub in_flight: u64,
}

/// What to claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClaimRequest {
    /// Made by the caller; repeating it returns the first answer, at least while the caller lives.
    pub request_id: Uuid,
    /// Who claims.
    pub token: NodeToken,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// The revision of the campaign the rest of this request was made from.
    pub expected_revision: u64,
    /// At most so many.
    pub max: u32,
    /// Groups whose window is open, in the order to take them.
    pub zones: Vec<ZoneKey>,
    /// Decides on each candidate.
    pub gates: ClaimGates,
    /// Limits to reserve.
    pub limits: ClaimLimits,
    /// Provider account, recorded with the attempt so that its ledger is settled.
    pub account: Option<Arc<str>>,
    /// The step of contacts without a planned one.
    pub first_step: PlannedStep,
    /// Recorded with each attempt.
    pub spec_version: u32,
    /// How long after its slot an attempt may still be handed over.
    #[serde(with = "seconds")]
    pub grace: SignedDuration,
    /// The engine's clock.
    pub now: Timestamp,
}

/// One claimed contact.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claimed {
    /// The intent.
    pub attempt: Attempt,
    /// The contact, in progress.
    pub contact: Contact,
    /// Settled attempts of this run that consumed one, oldest first. Empty when `contact.state.attempts` is 0.
    pub history: Vec<Attempt>,
}

/// What was claimed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// The contacts.
    pub claimed: Vec<Claimed>,
    /// The campaign is not running, or its revision has moved: read it again.
    pub campaign_changed: bool,
    /// The limit that ended the claim, when one did.
    pub block: Option<LimitBlock>,
    /// Candidates deferred or ruled out by the gates.
    pub passed_over: u32,
    /// Whether more due candidates may be left in the given zones.
    pub more: bool,
    /// The store's clock.
    pub now: Timestamp,
}

/// A provider's reference of an open attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Under which token.
    pub token: NodeToken,
    /// The reference.
    pub provider_ref: String,
    /// When it was handed over.
    pub at: Timestamp,
}

/// How an attempt ended for the limits and the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It was handed over and ended; consumes an attempt and adds to the contact's sums. An outcome that names no cost cost what was
    /// reserved, one that names no reference keeps that of [`Placed`].
    Finished(Outcome),
    /// The provider refused it without effect (throttled); consumes nothing, stays in the history as `refused`.
    Refused,
    /// It was never handed over; consumes nothing and leaves no trace.
    Unused,
}

/// One attempt to be settled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settlement {
    /// Which.
    pub attempt: AttemptId,
    /// When it was handed over, if it was.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub end: AttemptEnd,
    /// What the contact becomes.
    pub transition: ContactTransition,
    /// Why; stored with the contact and the attempt.
    pub reason: Option<Reason>,
    /// When the contact is due again; only for `pending`.
    pub due_at: Option<Timestamp>,
    /// What follows then.
    pub step: Option<PlannedStep>,
}

/// Attempts to be settled.
#[derive(Debug, Clone, Serialize)]
pub struct SettleRequest {
    /// Who settles.
    pub token: NodeToken,
    /// What. Shared, so that a repeated call costs no copy.
    pub settlements: Arc<[Settlement]>,
    /// The engine's clock.
    pub now: Timestamp,
}

/// What became of one settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettleAck {
    /// Done.
    Settled,
    /// Refused: the attempt is not open any more, or is held under another token.
    Stale,
}

/// What became of a batch of settlements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleReply {
    /// In the order of the batch.
    pub acks: Vec<SettleAck>,
    /// For each campaign of the batch: open contacts left, and money spent in all.
    pub campaigns: Vec<SettledCampaign>,
}

/// How a campaign stands after a batch of settlements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledCampaign {
    /// Which.
    pub campaign: CampaignId,
    /// Contacts pending or in progress.
    pub open: u64,
    /// Money spent over all runs.
    pub spent: Money,
}

/// What to take over from dead nodes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TakeOver {
    /// Repeating one that took something returns what of it is still open and held under this token.
    pub request_id: Uuid,
    /// Who takes over.
    pub token: NodeToken,
    /// How long after the end of the lease, and after `not_after`, an attempt stays untouched.
    #[serde(with = "seconds")]
    pub quarantine: SignedDuration,
    /// At most so many.
    pub limit: u32,
    /// The engine's clock.
    pub now: Timestamp,
}

/// An attempt taken over; whether it was handed over is not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakenOver {
    /// The attempt, held by the caller now.
    pub attempt: Attempt,
    /// Its contact.
    pub contact: Contact,
    /// Earlier settled attempts of this run, oldest first.
    pub history: Vec<Attempt>,
}

/// Which attempts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AttemptQuery {
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this contact.
    pub contact: Option<ContactId>,
    /// Of this run.
    pub run: Option<u32>,
    /// With this id.
    pub id: Option<AttemptId>,
    /// With this provider reference.
    pub provider_ref: Option<String>,
    /// That ended one of these ways; empty: all, open ones too.
    pub dispositions: Vec<Disposition>,
    /// Only those still open.
    pub open_only: bool,
    /// Only ids below this one; for walking back through a history of any length.
    pub before: Option<AttemptId>,
    /// Which part.
    pub paging: Paging,
    /// Whether `Page::total` is wanted. Without it `total` is 0.
    pub count: bool,
}

/// A group of pending contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingZone {
    /// The zones they may be in.
    pub zones: ZoneKey,
    /// When the first of them is due.
    pub first_due: Timestamp,
}

/// Contacts counted by what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Their status.
    pub status: ContactStatus,
    /// Their zones; only told apart for pending contacts.
    pub zones: ZoneKey,
    /// Their reason's code; `None` when there is none.
    pub code: Option<Arc<str>>,
    /// For pending contacts: whether they are due.
    pub due: bool,
    /// The earliest due time among them; only for pending contacts.
    pub first_due: Option<Timestamp>,
    /// How many.
    pub count: u64,
}

/// Which part of the timeline.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TimelineQuery {
    /// Of which campaign.
    pub campaign: CampaignId,
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this moment, exclusive.
    pub to: Timestamp,
    /// Length of a bucket in seconds, at least 1. Buckets are aligned to the Unix epoch.
    pub bucket_seconds: u32,
}

/// Settled attempts of one bucket of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimelineBucket {
    /// When the bucket begins.
    pub start: Timestamp,
    /// Attempts by disposition.
    pub dispositions: std::collections::BTreeMap<Disposition, u64>,
    /// Seconds talked.
    pub duration_seconds: u64,
    /// Money spent.
    pub cost: Money,
}

/// A place in the stream of events. Opaque to callers; stores use the numbers as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventCursor {
    /// Highest sequence number seen of claims.
    pub claimed: i64,
    /// Highest sequence number seen of settlements.
    pub settled: i64,
    /// Highest sequence number seen of campaign changes.
    pub saved: i64,
}

/// Which events.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct EventQuery {
    /// After this place. `None`: from now on; the answer has no events, only the cursor.
    pub after: Option<EventCursor>,
    /// Only of this campaign.
    pub campaign: Option<CampaignId>,
    /// At most so many.
    pub limit: u32,
}

/// Events since a cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// In the order they were committed.
    pub events: Vec<Event>,
    /// Where to go on.
    pub next: EventCursor,
    /// Whether more are there already.
    pub more: bool,
}

/// A document to be stored.
#[derive(Clone, Serialize, Deserialize)]
pub struct PutDocument {
    /// The collection, for example `contact_list`.
    pub collection: String,
    /// The key within it.
    pub key: String,
    /// The content.
    pub value: serde_json::Value,
    /// `Some(0)`: must not exist; `Some(n)`: must have this revision; `None`: whatever.
    pub expected_revision: Option<u64>,
}

debug_without!(PutDocument { collection, key, expected_revision } hides { value });

/// Which documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DocumentQuery {
    /// The collection.
    pub collection: String,
    /// Only this key.
    pub key: Option<String>,
    /// Only keys above this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// A stored document.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its key.
    pub key: String,
    /// Its content.
    pub value: serde_json::Value,
    /// Grows with every change.
    pub revision: u64,
}

debug_without!(Document { key, revision } hides { value });

/// What a store holds besides campaigns, contacts, attempts and suppressions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// Collections that have a document.
    pub collections: Vec<String>,
    /// Sequences with the last number given.
    pub sequences: Vec<(String, i64)>,
    /// Scopes that have a ledger.
    pub scopes: Vec<crate::policy::limits::LimitScope>,
}

/// Records to be written as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Campaigns.
    pub campaigns: Vec<CampaignRecord>,
    /// Contacts of campaigns and contact lists.
    pub contacts: Vec<Contact>,
    /// Attempts; their contacts must be there or in this snapshot.
    pub attempts: Vec<Attempt>,
    /// Suppressions.
    pub suppressions: Vec<Suppression>,
    /// Documents with their collection.
    pub documents: Vec<(String, Document)>,
    /// Sequences with the last number given.
    pub sequences: Vec<(String, i64)>,
    /// Ledgers; `in_flight` and `reserved` must agree with the open attempts.
    pub ledgers: Vec<(crate::policy::limits::LimitScope, crate::policy::limits::Ledger)>,
}

/// The day an attempt's start was counted on, kept by stores with the attempt so that a give-back counts on the same day.
pub type ClaimedDay = Option<Date>;

/// Channel and answer of one settled attempt as the counters see it: `(call attempts, answered calls)`. Added to the contact's state
/// when an attempt is settled, corrected when it is amended.
pub fn call_counts(channel: Channel, disposition: Disposition) -> (u64, u64) {
    match channel {
        Channel::Call => (1, u64::from(disposition == Disposition::Answered)),
        Channel::Sms | Channel::WhatsApp => (0, 0),
    }
}
