//! The conformance suite of [`ContactStore`].
//!
//! [`checks`] is a list of named checks; each wants a fresh, empty store and says which sentence of the contract it found broken.
//! The suite needs no runtime of its own: it only awaits what the store returns. A backend's own test is a few lines:
//!
//! ```
//! use campaign_core::store::{ContactStore, MemoryStore};
//! use std::sync::Arc;
//!
//! let outcome = futures_util::FutureExt::now_or_never(campaign_core::testkit::store::run(|| {
//!     Box::pin(async { Ok(Arc::new(MemoryStore::new()) as Arc<dyn ContactStore>) })
//! }));
//! assert_eq!(outcome, Some(Ok(())));
//! ```
//!
//! All moments are whole microseconds, numbers and names are plain ASCII.

mod campaigns;
mod contacts;
mod model;
mod organizations;
mod people;
mod reading;
mod work;

pub use model::compare;

use crate::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use crate::contact::{Contact, ContactSource, ContactStatus, NewContact, Owner, PlannedStep, Reason, Variables, ZoneKey};
use crate::error::{Error, Kind, Result};
use crate::id::{CampaignId, ContactId, ListId, Money, NodeToken};
use crate::outcome::{Attempt, Channel, Disposition, Outcome};
use crate::phone::PhoneNumber;
use crate::policy::gates::ClaimGates;
use crate::policy::limits::{ClaimLimits, LimitRules, LimitScope, Rate};
use crate::policy::metrics::Counts;
use crate::policy::transition::{self, ContactEvent, ContactTransition};
use crate::store::*;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A sentence of the contract that does not hold, and what was seen instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The check that found it.
    pub check: &'static str,
    /// The sentence.
    pub sentence: String,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the contract says \"{}\", but {}", self.check, self.sentence, self.seen)
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self {
            check: "",
            sentence: "methods succeed when their request is in order".to_owned(),
            seen: format!("one failed with {error:?}"),
        }
    }
}

/// What a check gives.
pub type Checked = Result<(), Broken>;

/// Every broken sentence of a run.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures(pub Vec<Broken>);

/// One line for each.
impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|broken| writeln!(f, "{broken}"))
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken:\n{self}", self.0.len())
    }
}

impl std::error::Error for Failures {}

/// One named check of the suite.
#[derive(Clone, Copy)]
pub struct Check {
    /// Its name, unique in the suite.
    pub name: &'static str,
    run: fn(Desk) -> BoxFuture<'static, Checked>,
}

impl Check {
    /// Runs it against a fresh, empty store.
    ///
    /// # Errors
    /// The first sentence of the contract that does not hold.
    pub async fn run(&self, store: Arc<dyn ContactStore>) -> Checked {
        (self.run)(Desk::new(store)).await.map_err(|broken| Broken { check: self.name, ..broken })
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

macro_rules! list {
    ($($module:ident: $($name:ident),+;)+) => {
        /// Every check of the suite.
        pub fn checks() -> Vec<Check> {
            vec![$($(Check { name: stringify!($name), run: |desk| Box::pin($module::$name(desk)) }),+),+]
        }
    };
}

list! {
    campaigns: a_campaign_begins_as_a_draft, creating_twice_gives_one, campaigns_are_listed_newest_first, saving_compares_the_revision,
        guards_hold, deleting_takes_everything_along, documents_compare_revisions, numbers_are_never_given_twice, a_closed_store_says_so,
        a_copy_is_restored_as_it_was;
    contacts: contacts_are_added_in_order, adding_twice_gives_one, an_ended_campaign_takes_nobody, known_numbers_follow_the_policy, contacts_are_found, updates_compare_the_version,
        illegal_changes_are_refused, removing_spares_what_is_in_progress, bulk_changes_keep_to_their_limit, a_reset_begins_anew,
        the_untouched_are_removed;
    people: suppressed_numbers_are_skipped, suppressions_expire_and_are_replaced, suppressions_are_listed, facts_reach_over_campaigns;
    organizations: campaigns_of_an_organisation_are_listed, an_organisation_suppresses_its_own, suppressions_of_organisations_are_listed,
        recent_hand_offs_stay_within_an_organisation, a_callers_ledger_is_one_for_all;
    work: tokens_grow_and_leases_end, claims_follow_the_queue, claims_stop_at_the_horizon, a_claim_is_repeated, nothing_is_claimed_without_leave,
        gates_take_no_slot, concurrency_holds, slots_keep_their_distance, days_and_money_run_out, callers_take_turns, settling_ends_an_attempt,
        refused_and_unused_consume_nothing, stale_settlements_change_nothing, a_placed_attempt_keeps_its_reference,
        a_quota_is_given_back_on_its_day_only, dead_nodes_are_taken_over, amending_corrects_the_sums, many_claims_hand_out_each_once,
        history_is_of_this_run;
    reading: attempts_are_listed_newest_first, pages_are_looked_up_at_once, queues_and_reasons_are_counted, the_timeline_has_buckets, changes_move_when_gates_may,
        events_are_in_order_and_none_is_lost, saves_announce_what_they_mean, unknown_ids_are_said;
    model: answers_are_those_of_the_reference;
}

/// Runs every check, each on a store of its own.
///
/// # Errors
/// Every sentence of the contract that does not hold.
pub async fn run(make: impl Fn() -> BoxFuture<'static, Result<Arc<dyn ContactStore>>>) -> Result<(), Failures> {
    let mut failures = Vec::new();
    for check in checks() {
        let outcome = match make().await {
            Ok(store) => check.run(store).await,
            Err(error) => Err(Broken { check: check.name, ..error.into() }),
        };
        failures.extend(outcome.err());
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

// --- what the checks are written with ------------------------------------------------------------------------------------

fn hold(sentence: &str, holds: bool, seen: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { check: "", sentence: sentence.to_owned(), seen: seen() }) }
}

fn same<T: PartialEq + fmt::Debug>(sentence: &str, got: T, want: T) -> Checked {
    hold(sentence, got == want, || format!("{got:?} came instead of {want:?}"))
}

fn fails<T>(sentence: &str, result: Result<T>, kind: Kind) -> Checked {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => hold(sentence, false, || format!("it failed with {error:?}")),
        Ok(_) => hold(sentence, false, || "it succeeded".to_owned()),
    }
}

/// A moment: so many seconds after the suite's midday.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_772_449_200 + seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::from_e164(&format!("+1555{:07}", number % 10_000_000)).unwrap_or_else(|| unreachable!("eleven digits after the plus"))
}

fn person(number: u64, zone: &str) -> NewContact {
    NewContact {
        phone: phone(number),
        name: Some(format!("Person {number}")),
        email: None,
        company: None,
        zones: ZoneKey::from_names([zone]),
        variables: Variables::new(),
        consent: None,
        source: ContactSource::Api,
    }
}

fn reason(code: &str) -> Reason {
    Reason::new(code, "A sentence.")
}

fn step(step: u32, channel: Channel) -> PlannedStep {
    PlannedStep { step, channel }
}

fn legal(from: ContactStatus, event: ContactEvent) -> Result<ContactTransition> {
    transition::contact(from, event)
}

fn finish(attempt: &Attempt, outcome: Outcome, status: ContactStatus) -> Result<Settlement> {
    Ok(Settlement {
        attempt: attempt.id,
        started_at: Some(attempt.start_at),
        end: AttemptEnd::Finished(outcome),
        transition: legal(ContactStatus::InProgress, ContactEvent::Finish(status))?,
        reason: Some(reason("reached")),
        due_at: None,
        step: None,
    })
}

fn again(attempt: &Attempt, end: AttemptEnd, due_at: Timestamp, step: PlannedStep) -> Result<Settlement> {
    Ok(Settlement {
        attempt: attempt.id,
        started_at: None,
        end,
        transition: legal(ContactStatus::InProgress, ContactEvent::Requeue)?,
        reason: Some(reason("again")),
        due_at: Some(due_at),
        step: Some(step),
    })
}

/// A store with what the checks do to it all the time.
struct Desk {
    store: Arc<dyn ContactStore>,
}

impl Desk {
    fn new(store: Arc<dyn ContactStore>) -> Self {
        Self { store }
    }

    async fn draft(&self, name: &str) -> Result<CampaignRecord> {
        self.draft_of(name, None).await
    }

    async fn draft_of(&self, name: &str, organization: Option<i64>) -> Result<CampaignRecord> {
        let spec = CampaignSpec { name: name.to_owned(), organization, ..CampaignSpec::default() };
        self.store.create_campaign(NewCampaign { request_id: Uuid::new_v4(), spec, now: at(0) }).await
    }

    async fn save(&self, record: CampaignRecord, now: Timestamp) -> Result<CampaignRecord> {
        let expected_revision = record.revision;
        self.store.save_campaign(SaveCampaign { record, expected_revision, guard: None, now }).await
    }

    async fn running(&self, name: &str) -> Result<CampaignRecord> {
        self.running_of(name, None).await
    }

    async fn running_of(&self, name: &str, organization: Option<i64>) -> Result<CampaignRecord> {
        let record = self.draft_of(name, organization).await?;
        self.save(CampaignRecord { status: CampaignStatus::Running, ..record }, at(0)).await
    }

    async fn add(&self, owner: Owner, contacts: Vec<NewContact>, now: Timestamp) -> Result<Vec<Added>> {
        let duplicates = DuplicatePolicy::Skip;
        self.store
            .add_contacts(AddContacts { request_id: Uuid::new_v4(), owner, organization: None, contacts: contacts.into(), duplicates, now })
            .await
    }

    /// Adds so many people to a campaign, due at once, numbered from `first`.
    async fn people(&self, campaign: CampaignId, first: u64, count: u64) -> Result<Vec<ContactId>> {
        let contacts = (first..first + count).map(|number| person(number, "UTC")).collect();
        let added = self.add(Owner::Campaign(campaign), contacts, at(0)).await?;
        Ok(added.into_iter().map(id_of).collect())
    }

    async fn node(&self, now: Timestamp) -> Result<NodeToken> {
        let node = NewNode { name: "node".to_owned(), lease: minutes(60 * 24 * 30), now };
        Ok(self.store.register_node(node).await?.token)
    }

    async fn contact(&self, id: ContactId) -> Result<Contact> {
        self.store.contact(id).await?.ok_or_else(|| Error::not_found("contact", id))
    }

    async fn all(&self, owner: Owner) -> Result<Vec<Contact>> {
        let paging = Paging { offset: 0, limit: 10_000 };
        Ok(self.store.contacts(ContactQuery { paging, ..ContactQuery::of(owner) }).await?.items)
    }

    async fn ledger(&self, scope: LimitScope) -> Result<crate::policy::limits::Ledger> {
        Ok(self.store.ledgers(vec![scope]).await?.first().copied().unwrap_or_default())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Attempt>> {
        Ok(self.store.claim(request).await?.claimed.into_iter().map(|claimed| claimed.attempt).collect())
    }

    async fn settle(&self, token: NodeToken, settlements: Vec<Settlement>, now: Timestamp) -> Result<SettleReply> {
        self.store.settle(SettleRequest { token, settlements: settlements.into(), now }).await
    }

    /// The counts, after they have been compared with the contacts themselves.
    async fn counts(&self, campaign: CampaignId) -> Result<Counts, Broken> {
        let counts = self.store.counts(campaign).await?;
        let mut recount = Counts::default();
        for contact in self.all(Owner::Campaign(campaign)).await? {
            *recount.by_status.entry(contact.state.status).or_default() += 1;
            recount.call_attempts += u64::from(contact.state.call_attempts);
            recount.answered_calls += u64::from(contact.state.answered_calls);
            recount.duration_seconds += contact.state.duration_seconds;
            recount.cost += contact.state.cost;
        }
        let told =
            Counts { by_status: counts.by_status.iter().filter(|(_, count)| **count > 0).map(|(s, c)| (*s, *c)).collect(), ..counts };
        same("counts equals a count over all contacts of the campaign at every moment", told.clone(), recount)?;
        Ok(told)
    }
}

fn id_of(added: Added) -> ContactId {
    match added {
        Added::New(id) | Added::Suppressed(id) | Added::Duplicate(id) | Added::Updated(id) => id,
    }
}

/// A claim without limits of everything that is due in UTC.
fn everything(campaign: &CampaignRecord, token: NodeToken, now: Timestamp) -> ClaimRequest {
    ClaimRequest {
        request_id: Uuid::new_v4(),
        token,
        campaign: campaign.id,
        expected_revision: campaign.revision,
        max: 1_000,
        zones: vec![ZoneKey::from_names(["UTC"])],
        gates: ClaimGates::default(),
        limits: ClaimLimits {
            shared: vec![LimitRules::new(LimitScope::Deployment), LimitRules::new(LimitScope::Campaign(campaign.id))],
            callers: Vec::new(),
            horizon: now,
        },
        account: None,
        first_step: step(0, Channel::Call),
        spec_version: campaign.spec_version,
        grace: SignedDuration::from_secs(5),
        now,
    }
}
