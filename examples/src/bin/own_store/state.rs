//! What the store knows, how it changes, and what is derived from it.

use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, ContactState, ContactStatus, Owner, ZoneKey};
use campaign_core::event::{Event, EventKind};
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeId, NodeToken};
use campaign_core::outcome::Attempt;
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::limits::{Ledger, LimitBlock, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::{Added, Suppression, SuppressionScope};
use campaign_core::{Error, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Events kept for readers that fall behind.
const EVENTS_KEPT: usize = 10_000;
/// Answers kept for callers that repeat a request.
const ANSWERS_KEPT: usize = 1_000;

/// One record as it is from now on; `None`: gone. The journal holds nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    Store(Uuid),
    Campaign(CampaignId, Option<CampaignRecord>),
    Contact(ContactId, Option<Contact>),
    Attempt(AttemptId, Option<Try>),
    Node(NodeId, Option<Node>),
    Ledger(LimitScope, Option<Ledger>),
    Suppression(PhoneNumber, SuppressionScope, Option<Suppression>),
    Document(String, String, Option<(u64, serde_json::Value)>),
    Created(Uuid, Option<CampaignId>),
    Answer(i64, Option<(Uuid, Answer)>),
    Event(i64, Option<Event>),
    Last(Series, i64),
}

/// What is numbered. The last number is kept, because ids are never reused, not even those of deleted records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Series {
    Campaign,
    Contact,
    Attempt,
    Node,
    Event,
    Answer,
    /// A sequence of the caller's.
    Named(String),
}

/// An attempt and what it holds of the limits.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Try {
    pub(crate) attempt: Attempt,
    pub(crate) account: Option<Arc<str>>,
    pub(crate) day: Option<Date>,
}

/// A registered process.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) token: NodeToken,
    pub(crate) name: String,
    pub(crate) started_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// The answer to a request, for a caller that did not hear it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Added(Vec<Added>),
    /// The attempts and contacts themselves are read anew.
    Claimed {
        attempts: Vec<AttemptId>,
        block: Option<LimitBlock>,
        passed_over: u32,
        more: bool,
        now: Timestamp,
    },
    TakenOver(Vec<AttemptId>),
}

/// Everything the store knows.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) id: Uuid,
    pub(crate) campaigns: BTreeMap<CampaignId, CampaignRecord>,
    pub(crate) contacts: BTreeMap<ContactId, Contact>,
    pub(crate) attempts: BTreeMap<AttemptId, Try>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) ledgers: BTreeMap<LimitScope, Ledger>,
    pub(crate) suppressions: BTreeMap<(PhoneNumber, SuppressionScope), Suppression>,
    pub(crate) documents: BTreeMap<(String, String), (u64, serde_json::Value)>,
    pub(crate) created: BTreeMap<Uuid, CampaignId>,
    pub(crate) answers: BTreeMap<i64, (Uuid, Answer)>,
    pub(crate) events: BTreeMap<i64, Event>,
    pub(crate) last: BTreeMap<Series, i64>,
    /// Derived from the records above, so never written.
    pub(crate) index: Index,
    /// Whether anybody changed what a gate depends on. The file has one user, who asks for differences only: not written either.
    pub(crate) changes: u64,
    /// What the running transaction has done, and how to undo it.
    pub(crate) done: Vec<Change>,
    undo: Vec<Change>,
}

impl State {
    /// Puts one record in place and returns the change that takes it back. Transactions, their undoing and the reading of the journal
    /// all come through here, which is why the indexes cannot differ from the records.
    pub(crate) fn apply(&mut self, change: Change) -> Change {
        match change {
            Change::Store(id) => Change::Store(std::mem::replace(&mut self.id, id)),
            Change::Campaign(id, new) => Change::Campaign(id, set(&mut self.campaigns, id, new)),
            Change::Contact(id, new) => {
                if let Some(old) = self.contacts.get(&id) {
                    self.index.leave(old);
                }
                if let Some(new) = &new {
                    self.index.enter(new);
                }
                Change::Contact(id, set(&mut self.contacts, id, new))
            }
            Change::Attempt(id, new) => {
                if let Some(old) = self.attempts.get(&id) {
                    self.index.tries.remove(&(old.attempt.contact, id));
                    self.index.open.remove(&id);
                }
                if let Some(new) = &new {
                    self.index.tries.insert((new.attempt.contact, id));
                    if new.attempt.state.is_open() {
                        self.index.open.insert(id);
                    }
                }
                Change::Attempt(id, set(&mut self.attempts, id, new))
            }
            Change::Node(id, new) => Change::Node(id, set(&mut self.nodes, id, new)),
            Change::Ledger(scope, new) => Change::Ledger(scope.clone(), set(&mut self.ledgers, scope, new)),
            Change::Suppression(phone, scope, new) => {
                Change::Suppression(phone.clone(), scope, set(&mut self.suppressions, (phone, scope), new))
            }
            Change::Document(collection, key, new) => {
                let old = set(&mut self.documents, (collection.clone(), key.clone()), new);
                Change::Document(collection, key, old)
            }
            Change::Created(request, new) => Change::Created(request, set(&mut self.created, request, new)),
            Change::Answer(number, new) => Change::Answer(number, set(&mut self.answers, number, new)),
            Change::Event(number, new) => Change::Event(number, set(&mut self.events, number, new)),
            Change::Last(series, number) => Change::Last(series.clone(), self.last.insert(series, number).unwrap_or(0)),
        }
    }

    /// Does one change as part of the running transaction.
    pub(crate) fn put(&mut self, change: Change) {
        self.done.push(change.clone());
        let inverse = self.apply(change);
        self.undo.push(inverse);
    }

    /// Ends the transaction: what it did stays.
    pub(crate) fn keep(&mut self) {
        self.done.clear();
        self.undo.clear();
    }

    /// Ends the transaction: it has not happened.
    pub(crate) fn take_back(&mut self) {
        while let Some(inverse) = self.undo.pop() {
            self.apply(inverse);
        }
        self.done.clear();
    }

    /// Every record as a change: a journal that begins with these is as good as the one that led here.
    pub(crate) fn records(&self) -> Vec<Change> {
        let mut all = vec![Change::Store(self.id)];
        all.extend(self.campaigns.iter().map(|(id, row)| Change::Campaign(*id, Some(row.clone()))));
        all.extend(self.contacts.iter().map(|(id, row)| Change::Contact(*id, Some(row.clone()))));
        all.extend(self.attempts.iter().map(|(id, row)| Change::Attempt(*id, Some(row.clone()))));
        all.extend(self.nodes.iter().map(|(id, row)| Change::Node(*id, Some(row.clone()))));
        all.extend(self.ledgers.iter().map(|(scope, row)| Change::Ledger(scope.clone(), Some(*row))));
        let suppressions = self.suppressions.iter();
        all.extend(suppressions.map(|((phone, scope), row)| Change::Suppression(phone.clone(), *scope, Some(row.clone()))));
        let documents = self.documents.iter();
        all.extend(documents.map(|((collection, key), row)| Change::Document(collection.clone(), key.clone(), Some(row.clone()))));
        all.extend(self.created.iter().map(|(request, id)| Change::Created(*request, Some(*id))));
        all.extend(self.answers.iter().map(|(number, row)| Change::Answer(*number, Some(row.clone()))));
        all.extend(self.events.iter().map(|(number, row)| Change::Event(*number, Some(row.clone()))));
        all.extend(self.last.iter().map(|(series, number)| Change::Last(series.clone(), *number)));
        all
    }

    // --- what the methods are written with -------------------------------------------------------------------------------

    pub(crate) fn campaign(&self, id: CampaignId) -> Result<&CampaignRecord> {
        self.campaigns.get(&id).ok_or_else(|| Error::not_found("campaign", id))
    }

    pub(crate) fn contact(&self, id: ContactId) -> Result<&Contact> {
        self.contacts.get(&id).ok_or_else(|| Error::not_found("contact", id))
    }

    /// The contacts of an owner, by ascending id.
    pub(crate) fn members(&self, owner: Owner) -> impl Iterator<Item = &Contact> {
        let range = (owner, ContactId(i64::MIN))..=(owner, ContactId(i64::MAX));
        self.index.members.range(range).filter_map(|(_, id)| self.contacts.get(id))
    }

    /// The attempts of a contact, oldest first.
    pub(crate) fn tries(&self, contact: ContactId) -> impl DoubleEndedIterator<Item = &Try> {
        let range = (contact, AttemptId(i64::MIN))..=(contact, AttemptId(i64::MAX));
        self.index.tries.range(range).filter_map(|(_, id)| self.attempts.get(id))
    }

    pub(crate) fn next(&mut self, series: Series) -> i64 {
        let number = self.last.get(&series).map_or(1, |last| last + 1);
        self.put(Change::Last(series, number));
        number
    }

    /// Makes sure that numbers given later are higher than this one.
    pub(crate) fn skip_to(&mut self, series: Series, number: i64) {
        if self.last.get(&series).is_none_or(|last| *last < number) {
            self.put(Change::Last(series, number));
        }
    }

    /// Changes a contact's state; every change moves the version. Unknown ids are passed over.
    pub(crate) fn change(&mut self, id: ContactId, change: impl FnOnce(&mut ContactState)) {
        let Some(mut contact) = self.contacts.get(&id).cloned() else { return };
        change(&mut contact.state);
        contact.state.version += 1;
        self.put(Change::Contact(id, Some(contact)));
    }

    pub(crate) fn ledger(&mut self, scope: LimitScope, change: impl FnOnce(&mut Ledger)) {
        let mut ledger = self.ledgers.get(&scope).copied().unwrap_or_default();
        change(&mut ledger);
        self.put(Change::Ledger(scope, Some(ledger)));
    }

    /// What was answered to a request, if it is a repeated one.
    pub(crate) fn answered(&self, request: Uuid) -> Option<&Answer> {
        self.answers.values().rev().find(|(id, _)| *id == request).map(|(_, answer)| answer)
    }

    /// Keeps an answer. Callers repeat what they asked last, so old answers make room.
    pub(crate) fn answer(&mut self, request: Uuid, answer: Answer) {
        let number = self.next(Series::Answer);
        self.put(Change::Answer(number, Some((request, answer))));
        if self.answers.len() > ANSWERS_KEPT
            && let Some((&oldest, _)) = self.answers.first_key_value()
        {
            self.put(Change::Answer(oldest, None));
        }
    }

    pub(crate) fn emit(&mut self, campaign_id: CampaignId, at: Timestamp, kind: EventKind) {
        let number = self.next(Series::Event);
        self.put(Change::Event(number, Some(Event { campaign_id, at, kind })));
        if self.events.len() > EVENTS_KEPT
            && let Some((&oldest, _)) = self.events.first_key_value()
        {
            self.put(Change::Event(oldest, None));
        }
    }
}

/// Puts a row in its place, or takes it out, and returns what was there.
fn set<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: Option<V>) -> Option<V> {
    match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    }
}

/// What can be worked out from the records, kept so that nobody has to read them all.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) members: BTreeSet<(Owner, ContactId)>,
    /// A number is unique per owner; caps and suppressions ask for it over all owners.
    pub(crate) numbers: BTreeMap<(PhoneNumber, Owner), ContactId>,
    /// Pending contacts by due time, per zone: claiming reads it from the front and never looks at what is not due.
    pub(crate) queues: BTreeMap<CampaignId, BTreeMap<ZoneKey, BTreeSet<(Timestamp, ContactId)>>>,
    pub(crate) counts: BTreeMap<CampaignId, Counts>,
    pub(crate) tries: BTreeSet<(ContactId, AttemptId)>,
    pub(crate) open: BTreeSet<AttemptId>,
}

impl Index {
    fn enter(&mut self, contact: &Contact) {
        self.members.insert((contact.owner, contact.id));
        self.numbers.insert((contact.person.phone.clone(), contact.owner), contact.id);
        let (Owner::Campaign(campaign), state) = (contact.owner, &contact.state) else { return };
        if state.status == ContactStatus::Pending {
            let queue = self.queues.entry(campaign).or_default().entry(contact.person.zones.clone()).or_default();
            queue.insert((state.due_at, contact.id));
        }
        let counts = self.counts.entry(campaign).or_default();
        *counts.by_status.entry(state.status).or_default() += 1;
        counts.call_attempts += u64::from(state.call_attempts);
        counts.answered_calls += u64::from(state.answered_calls);
        counts.duration_seconds += state.duration_seconds;
        counts.cost += state.cost;
    }

    fn leave(&mut self, contact: &Contact) {
        self.members.remove(&(contact.owner, contact.id));
        self.numbers.remove(&(contact.person.phone.clone(), contact.owner));
        let (Owner::Campaign(campaign), state) = (contact.owner, &contact.state) else { return };
        if let Some(queue) = self.queues.get_mut(&campaign).and_then(|zones| zones.get_mut(&contact.person.zones)) {
            queue.remove(&(state.due_at, contact.id));
        }
        let counts = self.counts.entry(campaign).or_default();
        *counts.by_status.entry(state.status).or_default() -= 1;
        counts.call_attempts -= u64::from(state.call_attempts);
        counts.answered_calls -= u64::from(state.answered_calls);
        counts.duration_seconds -= state.duration_seconds;
        counts.cost -= state.cost;
    }
}
