//! Campaigns, contacts, suppressions, documents, copies: what people and imports change.

use crate::state::{Answer, Change, Series, State, Try};
use campaign_core::campaign::{CampaignRecord, CampaignStatus, RunState};
use campaign_core::contact::{Contact, ContactState, ContactStatus, NewContact, Owner};
use campaign_core::id::{AttemptId, CampaignId, ContactId, Money};
use campaign_core::phone::PhoneNumber;
use campaign_core::policy::announce;
use campaign_core::policy::gates::{self, ContactFacts, Verdict};
use campaign_core::policy::limits::{LimitScope, Release};
use campaign_core::policy::transition::{self, ContactEvent};
use campaign_core::store::*;
use campaign_core::{Error, Kind, Result};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    pub(crate) fn create_campaign(&mut self, new: NewCampaign) -> Result<CampaignRecord> {
        if let Some(record) = self.created.get(&new.request_id).and_then(|id| self.campaigns.get(id)) {
            return Ok(record.clone());
        }
        let id = CampaignId(self.next(Series::Campaign));
        let record = CampaignRecord {
            id,
            spec: Arc::new(new.spec),
            spec_version: 1,
            revision: 1,
            status: CampaignStatus::Draft,
            reason: None,
            run: RunState { number: 1, ..RunState::default() },
            budget_announced_percent: 0,
            last_import_file_name: None,
            last_import_date: None,
            last_import_row_count: None,
            created_at: new.now,
            updated_at: new.now,
            started_at: None,
            completed_at: None,
        };
        self.put(Change::Created(new.request_id, Some(id)));
        self.put(Change::Campaign(id, Some(record.clone())));
        Ok(record)
    }

    pub(crate) fn save_campaign(&mut self, save: SaveCampaign) -> Result<CampaignRecord> {
        let id = save.record.id;
        let before = self.campaign(id)?.clone();
        if before.revision != save.expected_revision {
            return Err(Error::new(Kind::Conflict, "the campaign was changed in between; read it again").with("campaign", id));
        }
        let counts = self.index.counts.get(&id).cloned().unwrap_or_default();
        let refusal = match save.guard {
            Some(SaveGuard::NoOpenContacts) if counts.open() > 0 => Some("contacts are still pending or in progress"),
            Some(SaveGuard::SomePendingContacts) if counts.of(ContactStatus::Pending) == 0 => Some("no contact is pending"),
            _ => None,
        };
        if let Some(message) = refusal {
            return Err(Error::new(Kind::State, message).with("campaign", id));
        }
        let record = CampaignRecord { revision: before.revision + 1, updated_at: save.now, ..save.record };
        self.put(Change::Campaign(id, Some(record.clone())));
        let spent = self.ledgers.get(&LimitScope::Campaign(id)).map_or(Money::ZERO, |ledger| ledger.spent);
        for kind in announce::saved(&before, &record, spent) {
            self.emit(id, save.now, kind);
        }
        self.changes += 1;
        Ok(record)
    }

    pub(crate) fn delete_campaign(&mut self, id: CampaignId) {
        let contacts: Vec<ContactId> = self.members(Owner::Campaign(id)).map(|contact| contact.id).collect();
        for contact in contacts {
            self.remove(contact);
        }
        self.put(Change::Ledger(LimitScope::Campaign(id), None));
        self.put(Change::Campaign(id, None));
        self.changes += 1;
    }

    // --- contacts --------------------------------------------------------------------------------------------------------

    pub(crate) fn add_contacts(&mut self, add: &AddContacts) -> Result<Vec<Added>> {
        if let Some(Answer::Added(added)) = self.answered(add.request_id) {
            return Ok(added.clone());
        }
        let (run, organization) = match add.owner {
            Owner::Campaign(id) => {
                let record = self.campaign(id)?;
                open_for_contacts(record)?;
                (record.run.number, record.spec.organization)
            }
            Owner::List(_) => (1, add.organization),
        };
        let added: Vec<Added> = add.contacts.iter().map(|new| self.add_contact(add, new, run, organization)).collect();
        self.answer(add.request_id, Answer::Added(added.clone()));
        Ok(added)
    }

    fn add_contact(&mut self, add: &AddContacts, new: &NewContact, run: u32, organization: Option<i64>) -> Added {
        if let Some(&id) = self.index.numbers.get(&(new.phone.clone(), add.owner)) {
            return match add.duplicates {
                DuplicatePolicy::Skip => Added::Duplicate(id),
                DuplicatePolicy::UpdateVariables => {
                    self.take_over_data(id, new);
                    Added::Updated(id)
                }
            };
        }
        let id = ContactId(self.next(Series::Contact));
        let mut state = ContactState::new(run, add.now);
        let suppressed = self.suppressed(&new.phone, add.owner, organization, add.now);
        let facts = ContactFacts { suppressed, recent: Vec::new() };
        let verdict = gates::suppression(&facts);
        if let Verdict::Never { reason } = &verdict {
            enter(&mut state, ContactStatus::Skipped, add.now);
            state.reason = Some(reason.clone());
        }
        let contact = Contact { id, owner: add.owner, person: Arc::new(new.clone()), state, created_at: add.now };
        self.put(Change::Contact(id, Some(contact)));
        if verdict.is_allow() { Added::New(id) } else { Added::Suppressed(id) }
    }

    /// What a new row brings for a contact that is known already; what it leaves out stays.
    fn take_over_data(&mut self, id: ContactId, new: &NewContact) {
        let Some(mut contact) = self.contacts.get(&id).cloned() else { return };
        let old = Arc::make_mut(&mut contact.person);
        old.name = new.name.clone().or(old.name.take());
        old.email = new.email.clone().or(old.email.take());
        old.company = new.company.clone().or(old.company.take());
        old.consent = new.consent.clone().or(old.consent.take());
        if !new.zones.is_unknown() {
            old.zones = new.zones.clone();
        }
        old.variables.extend(new.variables.clone());
        contact.state.version += 1;
        self.put(Change::Contact(id, Some(contact)));
    }

    pub(crate) fn update_contact(&mut self, update: UpdateContact) -> Result<Contact> {
        let state = &self.contact(update.id)?.state;
        if state.version != update.expected_version {
            return Err(Error::new(Kind::Conflict, "the contact was changed in between; read it again").with("contact", update.id));
        }
        if let Some(transition) = update.transition {
            let claimed = [transition.from(), transition.to()].contains(&ContactStatus::InProgress);
            if transition.from() != state.status || claimed {
                let message = format!("a contact that is {} cannot change from {} to {}", state.status, transition.from(), transition.to());
                return Err(Error::new(Kind::State, message).with("contact", update.id));
            }
        }
        self.change(update.id, |state| {
            if let Some(transition) = update.transition {
                enter(state, transition.to(), update.now);
            }
            state.reason = update.reason.or(state.reason.take());
            state.due_at = update.due_at.unwrap_or(state.due_at);
            state.step = update.step.or(state.step.take());
            state.replied_at = update.replied_at.or(state.replied_at);
        });
        self.changes += 1;
        Ok(self.contact(update.id)?.clone())
    }

    pub(crate) fn remove_contacts(&mut self, owner: Owner, ids: &[ContactId]) -> u64 {
        let may_go = |state: &Self, id: &ContactId| {
            state.contacts.get(id).is_some_and(|contact| contact.owner == owner && contact.state.status != ContactStatus::InProgress)
        };
        let mut removed = 0;
        for id in ids {
            if may_go(self, id) {
                self.remove(*id);
                removed += 1;
            }
        }
        self.changes += 1;
        removed
    }

    /// Takes a contact out with its attempts. Open ones give back what they hold of the limits.
    fn remove(&mut self, id: ContactId) {
        let tries: Vec<Try> = self.tries(id).cloned().collect();
        for entry in tries {
            if entry.attempt.state.is_open() {
                // Whether it was handed over is not known, so its start stays counted.
                self.give_back(&entry, Release::Used(Money::ZERO));
            }
            self.put(Change::Attempt(entry.attempt.id, None));
        }
        self.put(Change::Contact(id, None));
    }

    pub(crate) fn bulk_change(&mut self, change: &BulkChange) -> Result<u64> {
        self.campaign(change.campaign)?;
        let applies = |contact: &&Contact| {
            let (status, run) = (contact.state.status, contact.state.run);
            let fits = match change.action {
                BulkAction::Reset { run: next } => status.is_terminal() && run < next,
                BulkAction::Cancel { .. } | BulkAction::Skip { .. } => status == ContactStatus::Pending,
                BulkAction::RemoveUntouched => matches!(status, ContactStatus::Pending | ContactStatus::Skipped),
            };
            fits && match &change.selection {
                Selection::All => true,
                Selection::Statuses(statuses) => statuses.contains(&status),
                Selection::Ids(ids) => ids.contains(&contact.id),
            }
        };
        let chosen = self.members(Owner::Campaign(change.campaign)).filter(applies).take(change.limit as usize);
        let chosen: Vec<(ContactId, ContactStatus)> = chosen.map(|contact| (contact.id, contact.state.status)).collect();
        for &(id, status) in &chosen {
            let (event, reason) = match &change.action {
                BulkAction::RemoveUntouched => {
                    self.remove(id);
                    continue;
                }
                BulkAction::Reset { run } => {
                    transition::contact(status, ContactEvent::Reset)?;
                    self.change(id, |state| *state = ContactState { version: state.version, ..ContactState::new(*run, change.now) });
                    continue;
                }
                BulkAction::Cancel { reason } => (ContactEvent::Cancel, reason),
                BulkAction::Skip { reason } => (ContactEvent::Finish(ContactStatus::Skipped), reason),
            };
            let to = transition::contact(status, event)?.to();
            self.change(id, |state| {
                enter(state, to, change.now);
                state.reason = Some(reason.clone());
            });
        }
        self.changes += 1;
        Ok(chosen.len() as u64)
    }

    // --- suppressions and documents --------------------------------------------------------------------------------------

    pub(crate) fn suppress(&mut self, entries: Vec<Suppression>) {
        for entry in entries {
            self.put(Change::Suppression(entry.phone.clone(), entry.scope, Some(entry)));
        }
        self.changes += 1;
    }

    pub(crate) fn unsuppress(&mut self, keys: Vec<SuppressionKey>) -> u64 {
        let mut removed = 0;
        for key in keys {
            if self.suppressions.contains_key(&(key.phone.clone(), key.scope)) {
                self.put(Change::Suppression(key.phone, key.scope, None));
                removed += 1;
            }
        }
        self.changes += 1;
        removed
    }

    /// The organisation of an owner; none of a list, of which only the engine knows.
    pub(crate) fn organization(&self, owner: Owner) -> Option<i64> {
        match owner {
            Owner::Campaign(id) => self.campaigns.get(&id).and_then(|record| record.spec.organization),
            Owner::List(_) => None,
        }
    }

    /// The reason of the suppression in force for a number, if there is one.
    pub(crate) fn suppressed(&self, phone: &PhoneNumber, owner: Owner, organization: Option<i64>, now: Timestamp) -> Option<String> {
        let scopes = SuppressionScope::covering(owner, organization);
        let mut entries = scopes.filter_map(|scope| self.suppressions.get(&(phone.clone(), scope)));
        entries.find(|entry| entry.expires_at.is_none_or(|end| end > now)).map(|entry| entry.reason.clone())
    }

    pub(crate) fn put_document(&mut self, put: PutDocument) -> Result<u64> {
        let key = (put.collection, put.key);
        let stored = self.documents.get(&key).map_or(0, |(revision, _)| *revision);
        if put.expected_revision.is_some_and(|expected| expected != stored) {
            return Err(Error::new(Kind::Conflict, "the document was changed in between; read it again").with("collection", &key.0));
        }
        self.put(Change::Document(key.0, key.1, Some((stored + 1, put.value))));
        Ok(stored + 1)
    }

    pub(crate) fn delete_document(&mut self, collection: String, key: String) -> bool {
        let found = self.documents.contains_key(&(collection.clone(), key.clone()));
        if found {
            self.put(Change::Document(collection, key, None));
        }
        found
    }

    // --- copying ---------------------------------------------------------------------------------------------------------

    pub(crate) fn catalog(&self) -> Catalog {
        let collections: BTreeSet<&String> = self.documents.keys().map(|(collection, _)| collection).collect();
        let sequences = self.last.iter().filter_map(|(series, last)| match series {
            Series::Named(name) if *last > 0 => Some((name.clone(), *last)),
            _ => None,
        });
        Catalog {
            collections: collections.into_iter().cloned().collect(),
            sequences: sequences.collect(),
            scopes: self.ledgers.keys().cloned().collect(),
        }
    }

    /// What does not fit together ends it midway; the transaction is then undone as a whole.
    pub(crate) fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        for record in snapshot.campaigns {
            self.skip_to(Series::Campaign, record.id.0);
            self.put(Change::Campaign(record.id, Some(record)));
        }
        for contact in snapshot.contacts {
            if let Owner::Campaign(id) = contact.owner {
                self.campaign(id)?;
            }
            self.skip_to(Series::Contact, contact.id.0);
            self.put(Change::Contact(contact.id, Some(contact)));
        }
        for attempt in snapshot.attempts {
            self.contact(attempt.contact)?;
            let AttemptId(number) = attempt.id;
            self.skip_to(Series::Attempt, number);
            // Tokens given later must differ from the one that holds it.
            self.skip_to(Series::Node, attempt.claimed_by.epoch.max(attempt.claimed_by.node.0));
            self.put(Change::Attempt(attempt.id, Some(Try { attempt, account: None, day: None })));
        }
        self.suppress(snapshot.suppressions);
        for (collection, document) in snapshot.documents {
            self.put(Change::Document(collection, document.key, Some((document.revision, document.value))));
        }
        for (name, last) in snapshot.sequences {
            self.skip_to(Series::Named(name), last);
        }
        for (scope, ledger) in snapshot.ledgers {
            self.put(Change::Ledger(scope, Some(ledger)));
        }
        Ok(())
    }
}

/// Changes the status; the moment a contact becomes terminal is kept.
pub(crate) fn enter(state: &mut ContactState, to: ContactStatus, now: Timestamp) {
    state.status = to;
    state.completed_at = to.is_terminal().then_some(now);
}
