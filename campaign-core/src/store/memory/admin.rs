//! Campaigns, contacts, suppressions, documents, copies: what people and imports change.

use super::*;
use crate::contact::NewContact;
use crate::policy::announce;
use crate::policy::gates::{self, Verdict};
use crate::policy::transition::{self, ContactEvent};

impl State {
    pub(super) fn create_campaign(&mut self, new: NewCampaign) -> Result<CampaignRecord> {
        if let Some(campaign) = self.answers.created.get(&new.request_id).and_then(|id| self.campaigns.get(id)) {
            return Ok(campaign.record.clone());
        }
        self.last.campaign += 1;
        let id = CampaignId(self.last.campaign);
        let record = CampaignRecord {
            id,
            spec: Arc::new(new.spec),
            spec_version: 1,
            revision: 1,
            status: crate::campaign::CampaignStatus::Draft,
            reason: None,
            run: crate::campaign::RunState { number: 1, ..Default::default() },
            budget_announced_percent: 0,
            last_import_file_name: None,
            last_import_date: None,
            last_import_row_count: None,
            created_at: new.now,
            updated_at: new.now,
            started_at: None,
            completed_at: None,
        };
        self.answers.created.insert(new.request_id, id);
        self.campaigns.insert(id, Campaign::new(record.clone()));
        Ok(record)
    }

    pub(super) fn list_campaigns(&self, query: &CampaignQuery) -> Page<CampaignRecord> {
        let matches = self.campaigns.values().rev().map(|campaign| &campaign.record).filter(|record| {
            (query.statuses.is_empty() || query.statuses.contains(&record.status))
                && query.campaign_type.as_ref().is_none_or(|kind| record.spec.campaign_type == *kind)
                && query.organization.is_none_or(|id| record.spec.organization == Some(id))
                && query.assistant_id.is_none_or(|id| record.spec.assistant_id == Some(id))
                && query.search.as_ref().is_none_or(|search| {
                    contains(&record.spec.name, search) || record.spec.description.as_ref().is_some_and(|text| contains(text, search))
                })
        });
        let Page { items, total } = page(matches, query.paging, query.count);
        Page { items: items.into_iter().cloned().collect(), total }
    }

    pub(super) fn save_campaign(&mut self, save: SaveCampaign) -> Result<CampaignRecord> {
        let id = save.record.id;
        let campaign = self.campaigns.get_mut(&id).ok_or_else(|| Error::not_found("campaign", id))?;
        if campaign.record.revision != save.expected_revision {
            return Err(Error::new(Kind::Conflict, "the campaign was changed in between; read it again").with("campaign", id));
        }
        let refusal = match save.guard {
            Some(SaveGuard::NoOpenContacts) if campaign.open() > 0 => Some("contacts are still pending or in progress"),
            Some(SaveGuard::SomePendingContacts) if campaign.count(ContactStatus::Pending) == 0 => Some("no contact is pending"),
            _ => None,
        };
        if let Some(message) = refusal {
            return Err(Error::new(Kind::State, message).with("campaign", id));
        }
        let record = CampaignRecord { revision: save.expected_revision + 1, updated_at: save.now, ..save.record };
        let before = std::mem::replace(&mut campaign.record, record.clone());
        self.changes += 1;
        let spent = self.ledgers.get(&LimitScope::Campaign(id)).map_or(Money::ZERO, |ledger| ledger.spent);
        for kind in announce::saved(&before, &record, spent) {
            self.emit(id, save.now, kind);
        }
        Ok(record)
    }

    pub(super) fn delete_campaign(&mut self, id: CampaignId) {
        let contacts: Vec<ContactId> =
            self.campaigns.get(&id).map(|campaign| campaign.contacts.iter().copied().collect()).unwrap_or_default();
        for contact in contacts {
            self.remove(contact);
        }
        self.campaigns.remove(&id);
        self.ledgers.remove(&LimitScope::Campaign(id));
        self.answers.created.retain(|_, created| *created != id);
        self.changes += 1;
    }

    pub(super) fn add_contacts(&mut self, add: &AddContacts) -> Result<Vec<Added>> {
        if let Some(answer) = self.answers.added.get(&add.request_id) {
            return Ok(answer.clone());
        }
        let (run, organization) = match add.owner {
            Owner::Campaign(id) => {
                let record = &self.campaign(id)?.record;
                crate::store::open_for_contacts(record)?;
                (record.run.number, record.spec.organization)
            }
            Owner::List(_) => (1, add.organization),
        };
        let answer: Vec<Added> = add.contacts.iter().map(|new| self.add_contact(add, new, run, organization)).collect();
        self.answers.added.insert(add.request_id, answer.clone());
        self.answers.added_order.push_back(add.request_id);
        if self.answers.added_order.len() > ANSWERS_KEPT
            && let Some(oldest) = self.answers.added_order.pop_front()
        {
            self.answers.added.remove(&oldest);
        }
        Ok(answer)
    }

    fn add_contact(&mut self, add: &AddContacts, new: &NewContact, run: u32, organization: Option<i64>) -> Added {
        if let Some(&id) = self.numbers.get(&(new.phone.clone(), add.owner)) {
            return match add.duplicates {
                DuplicatePolicy::Skip => Added::Duplicate(id),
                DuplicatePolicy::UpdateVariables => {
                    self.change_contact(id, |contact| take_over_data(Arc::make_mut(&mut contact.person), new));
                    Added::Updated(id)
                }
            };
        }
        self.last.contact += 1;
        let id = ContactId(self.last.contact);
        let mut state = ContactState::new(run, add.now);
        let suppressed = self.suppressed(&new.phone, add.owner, organization, add.now);
        let facts = ContactFacts { suppressed, recent: Vec::new() };
        let suppressed = match gates::suppression(&facts) {
            Verdict::Never { reason } => {
                state.status = ContactStatus::Skipped;
                state.reason = Some(reason);
                state.completed_at = Some(add.now);
                true
            }
            _ => false,
        };
        self.insert(Contact { id, owner: add.owner, person: Arc::new(new.clone()), state, created_at: add.now });
        if suppressed { Added::Suppressed(id) } else { Added::New(id) }
    }

    pub(super) fn update_contact(&mut self, update: UpdateContact) -> Result<Contact> {
        let state = &self.person(update.id)?.contact.state;
        if state.version != update.expected_version {
            return Err(Error::new(Kind::Conflict, "the contact was changed in between; read it again").with("contact", update.id));
        }
        if let Some(transition) = update.transition {
            let claimed = |status| status == ContactStatus::InProgress;
            if transition.from() != state.status || claimed(transition.from()) || claimed(transition.to()) {
                let message =
                    format!("a contact that is {} cannot be changed from {} to {}", state.status, transition.from(), transition.to());
                return Err(Error::new(Kind::State, message).with("contact", update.id));
            }
        }
        self.change(update.id, |state| {
            if let Some(transition) = update.transition {
                state.enter(transition.to(), update.now);
            }
            if let Some(reason) = update.reason {
                state.reason = Some(reason);
            }
            state.due_at = update.due_at.unwrap_or(state.due_at);
            state.step = update.step.or(state.step.take());
            state.replied_at = update.replied_at.or(state.replied_at);
        });
        self.changes += 1;
        Ok(self.person(update.id)?.contact.clone())
    }

    pub(super) fn remove_contacts(&mut self, owner: Owner, ids: &[ContactId]) -> u64 {
        let mut removed = 0;
        for &id in ids {
            let Some(person) = self.contacts.get(&id) else { continue };
            if person.contact.owner == owner && person.contact.state.status != ContactStatus::InProgress {
                self.remove(id);
                removed += 1;
            }
        }
        self.changes += 1;
        removed
    }

    pub(super) fn bulk_change(&mut self, change: &BulkChange) -> Result<u64> {
        let campaign = self.campaign(change.campaign)?;
        let starts_from = |status: ContactStatus| match change.action {
            BulkAction::Reset { .. } => status.is_terminal(),
            BulkAction::Cancel { .. } | BulkAction::Skip { .. } => status == ContactStatus::Pending,
            BulkAction::RemoveUntouched => matches!(status, ContactStatus::Pending | ContactStatus::Skipped),
        };
        let applies = |id: &ContactId| {
            let Some(person) = self.contacts.get(id) else { return false };
            let state = &person.contact.state;
            person.contact.owner == Owner::Campaign(change.campaign)
                && starts_from(state.status)
                && !matches!(change.action, BulkAction::Reset { run } if state.run >= run)
        };
        let chosen = |status: ContactStatus| match &change.selection {
            Selection::Statuses(statuses) => statuses.contains(&status),
            _ => true,
        };
        let limit = change.limit as usize;
        let ids: Vec<ContactId> = match &change.selection {
            Selection::Ids(ids) => {
                let ids: BTreeSet<ContactId> = ids.iter().copied().collect();
                ids.into_iter().filter(applies).take(limit).collect()
            }
            _ => {
                let of_status = campaign.by_status.iter().filter(|(status, _)| starts_from(**status) && chosen(**status));
                of_status.flat_map(|(_, ids)| ids).copied().filter(applies).take(limit).collect()
            }
        };
        for &id in &ids {
            self.bulk_change_one(change, id)?;
        }
        self.changes += 1;
        Ok(ids.len() as u64)
    }

    fn bulk_change_one(&mut self, change: &BulkChange, id: ContactId) -> Result<()> {
        let status = self.person(id)?.contact.state.status;
        let (event, reason) = match &change.action {
            BulkAction::RemoveUntouched => {
                self.remove(id);
                return Ok(());
            }
            BulkAction::Reset { run } => {
                transition::contact(status, ContactEvent::Reset)?;
                self.change(id, |state| *state = ContactState { version: state.version, ..ContactState::new(*run, change.now) });
                return Ok(());
            }
            BulkAction::Cancel { reason } => (ContactEvent::Cancel, reason),
            BulkAction::Skip { reason } => (ContactEvent::Finish(ContactStatus::Skipped), reason),
        };
        let to = transition::contact(status, event)?.to();
        self.change(id, |state| {
            state.enter(to, change.now);
            state.reason = Some(reason.clone());
        });
        Ok(())
    }

    pub(super) fn suppress(&mut self, entries: Vec<Suppression>) {
        for entry in entries {
            self.suppressions.insert(SuppressionKey { phone: entry.phone.clone(), scope: entry.scope }, entry);
        }
        self.changes += 1;
    }

    pub(super) fn unsuppress(&mut self, keys: &[SuppressionKey]) -> u64 {
        self.changes += 1;
        keys.iter().filter(|key| self.suppressions.remove(key).is_some()).count() as u64
    }

    pub(super) fn list_suppressions(&self, query: &SuppressionQuery) -> Page<Suppression> {
        let matches = self
            .suppressions
            .iter()
            .filter(|(key, _)| {
                query.phone.as_ref().is_none_or(|phone| key.phone == *phone)
                    && query.scope.is_none_or(|scope| key.scope == scope)
                    && query.after.as_ref().is_none_or(|after| *key > after)
            })
            .map(|(_, entry)| entry.clone());
        page(matches, query.paging, true)
    }

    /// The organisation of an owner; none of a list, of which only the engine knows.
    pub(super) fn organization(&self, owner: Owner) -> Option<i64> {
        match owner {
            Owner::Campaign(id) => self.campaigns.get(&id).and_then(|campaign| campaign.record.spec.organization),
            Owner::List(_) => None,
        }
    }

    /// The reason of the suppression in force for a number, if there is one.
    pub(super) fn suppressed(&self, phone: &PhoneNumber, owner: Owner, organization: Option<i64>, now: Timestamp) -> Option<String> {
        if self.suppressions.is_empty() {
            return None;
        }
        SuppressionScope::covering(owner, organization)
            .filter_map(|scope| self.suppressions.get(&SuppressionKey { phone: phone.clone(), scope }))
            .find(|entry| entry.expires_at.is_none_or(|end| end > now))
            .map(|entry| entry.reason.clone())
    }

    pub(super) fn put_document(&mut self, put: PutDocument) -> Result<u64> {
        let key = (put.collection, put.key);
        let stored = self.documents.get(&key).map_or(0, |document| document.revision);
        if put.expected_revision.is_some_and(|expected| expected != stored) {
            return Err(Error::new(Kind::Conflict, "the document was changed in between; read it again").with("collection", &key.0));
        }
        let document = Document { key: key.1.clone(), value: put.value, revision: stored + 1 };
        self.documents.insert(key, document);
        Ok(stored + 1)
    }

    pub(super) fn list_documents(&self, query: &DocumentQuery) -> Vec<Document> {
        self.documents
            .range((query.collection.clone(), query.after.clone().unwrap_or_default())..)
            .take_while(|((collection, _), _)| *collection == query.collection)
            .filter(|((_, key), _)| {
                query.key.as_ref().is_none_or(|wanted| key == wanted) && query.after.as_ref().is_none_or(|after| key > after)
            })
            .map(|(_, document)| document.clone())
            .take(query.limit as usize)
            .collect()
    }

    pub(super) fn catalog(&self) -> Catalog {
        let collections: BTreeSet<&String> = self.documents.keys().map(|(collection, _)| collection).collect();
        Catalog {
            collections: collections.into_iter().cloned().collect(),
            sequences: self.sequences.iter().map(|(name, last)| (name.clone(), *last)).collect(),
            scopes: self.ledgers.keys().cloned().collect(),
        }
    }

    pub(super) fn restore(&mut self, snapshot: Snapshot) -> Result<()> {
        let restored: BTreeSet<CampaignId> = snapshot.campaigns.iter().map(|record| record.id).collect();
        let contacts: BTreeSet<ContactId> = snapshot.contacts.iter().map(|contact| contact.id).collect();
        // Everything is checked before anything is written: a restore happens whole or not at all.
        for contact in &snapshot.contacts {
            if let Owner::Campaign(id) = contact.owner
                && !restored.contains(&id)
            {
                self.campaign(id)?;
            }
        }
        for attempt in snapshot.attempts.iter().filter(|attempt| !contacts.contains(&attempt.contact)) {
            self.person(attempt.contact)?;
        }
        for record in snapshot.campaigns {
            self.last.campaign = self.last.campaign.max(record.id.0);
            match self.campaigns.get_mut(&record.id) {
                Some(campaign) => campaign.record = record,
                None => {
                    self.campaigns.insert(record.id, Campaign::new(record));
                }
            }
        }
        for contact in snapshot.contacts {
            self.last.contact = self.last.contact.max(contact.id.0);
            let attempts = self.contacts.get_mut(&contact.id).map(|person| std::mem::take(&mut person.attempts)).unwrap_or_default();
            self.remove(contact.id);
            let id = contact.id;
            self.insert(contact);
            if let Some(person) = self.contacts.get_mut(&id) {
                person.attempts = attempts;
            }
        }
        for attempt in snapshot.attempts {
            self.restore_attempt(attempt);
        }
        self.suppress(snapshot.suppressions);
        for (collection, document) in snapshot.documents {
            self.documents.insert((collection, document.key.clone()), document);
        }
        for (name, last) in snapshot.sequences {
            let stored = self.sequences.entry(name).or_default();
            *stored = last.max(*stored);
        }
        self.ledgers.extend(snapshot.ledgers);
        Ok(())
    }

    fn restore_attempt(&mut self, attempt: Attempt) {
        let id = attempt.id;
        self.last.attempt = self.last.attempt.max(id.0);
        // Tokens given later must be higher than the one that holds a restored attempt, or its claim could be mistaken for theirs.
        self.last.node = self.last.node.max(attempt.claimed_by.epoch).max(attempt.claimed_by.node.0);
        if let Some(person) = self.contacts.get_mut(&attempt.contact)
            && let Err(place) = person.attempts.binary_search(&id)
        {
            person.attempts.insert(place, id);
        }
        let token = attempt.claimed_by;
        let open = attempt.state.is_open();
        let node = self.nodes.entry(token.node).or_insert_with(|| Node::gone(token));
        if open {
            node.open.insert(id)
        } else {
            node.open.remove(&id)
        };
        self.attempts.insert(id, Box::new(Try { attempt, account: None, day: None }));
    }
}

impl Campaign {
    fn new(record: CampaignRecord) -> Self {
        Self { record, contacts: BTreeSet::new(), by_status: BTreeMap::new(), pending: BTreeMap::new(), sums: Counts::default() }
    }
}

/// What a new row brings for a contact that is known already; what it leaves out stays.
fn take_over_data(old: &mut NewContact, new: &NewContact) {
    let take = |old: &mut Option<String>, new: &Option<String>| {
        if new.is_some() {
            old.clone_from(new);
        }
    };
    take(&mut old.name, &new.name);
    take(&mut old.email, &new.email);
    take(&mut old.company, &new.company);
    if !new.zones.is_unknown() {
        old.zones = new.zones.clone();
    }
    if new.consent.is_some() {
        old.consent.clone_from(&new.consent);
    }
    for (name, value) in &new.variables {
        old.variables.insert(name.clone(), value.clone());
    }
}
