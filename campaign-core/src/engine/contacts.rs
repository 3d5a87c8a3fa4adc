//! Contacts, contact lists and the suppression list.

use super::Engine;
use super::core::Core;
use super::handoff::view;
use super::reading::{BATCH, Reading, Step, check_to_the_end};
use super::starts;
use crate::campaign::{Next, check_organization};
use crate::contact::{Contact, ContactSource, ContactStatus, NewContact, Owner};
use crate::id::{CampaignId, ContactId, ListId};
use crate::import::{ImportOptions, ImportReport, ImportSource, Progress};
use crate::outcome::Attempt;
use crate::phone::PhoneNumber;
use crate::policy::transition::{self, ContactEvent};
use crate::store::copy::LISTS;
use crate::store::{
    AddContacts, Added, AttemptQuery, BulkAction, ContactQuery, DocumentQuery, DuplicatePolicy, Page, Paging, PutDocument, Selection,
    Suppression, SuppressionKey, SuppressionQuery, SuppressionScope, UpdateContact,
};
use crate::{Error, Kind, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use uuid::Uuid;

/// How far an import is, for a progress display.
pub type ImportProgress = Progress;

/// A reusable list of contacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactList {
    /// Its id.
    pub id: ListId,
    /// Its name.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// The organisation it belongs to; `None`: the program's own. It can be attached to campaigns of the same only.
    #[serde(default)]
    pub organization: Option<i64>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Engine {
    /// Imports a file (or rows) into a campaign. Good rows always go in; bad ones are in the report.
    ///
    /// # Errors
    /// When the file cannot be read at all (format, header, encoding), the campaign does not exist or has ended, or the store fails. Rows
    /// stored before an error stay; importing the file again skips them as duplicates.
    pub async fn import_contacts(&self, campaign: CampaignId, source: ImportSource, options: ImportOptions) -> Result<ImportReport> {
        self.import_with_progress(Owner::Campaign(campaign), source, options, |_| {}).await
    }

    /// As [`Engine::import_contacts`], into a campaign or a contact list, with a callback after every batch of rows.
    ///
    /// # Errors
    /// As [`Engine::import_contacts`].
    pub async fn import_with_progress(
        &self,
        owner: Owner,
        source: ImportSource,
        options: ImportOptions,
        mut progress: impl FnMut(ImportProgress) + Send,
    ) -> Result<ImportReport> {
        let core = &self.core;
        let organization = self.open_for_contacts(owner).await?;
        let duplicates = options.duplicates;
        let replaced = match owner {
            Owner::Campaign(campaign) if options.replace_untouched => Some(campaign),
            Owner::Campaign(_) | Owner::List(_) => None,
        };
        if replaced.is_some()
            && let Some(again) = source.again()?
        {
            check_to_the_end(core, again, options.trial()).await?;
        }
        let rows = matches!(source, ImportSource::Rows(_));
        let mut reader = Reading::start(core, source, options);
        let mut next = reader.next().await?;
        // A first batch has a contact in it: a file without a good one replaces nothing.
        if let (Some(campaign), Step::Batch(..)) = (replaced, &next) {
            self.remove_untouched(campaign, rows).await?;
        }
        let mut stored = ImportReport::default();
        let mut report = loop {
            match next {
                Step::Batch(batch, read) => {
                    stored.record(&self.store_contacts(owner, organization, batch.contacts.into(), duplicates).await?);
                    progress(read);
                    next = reader.next().await?;
                }
                Step::Done(report) => break *report,
            }
        };
        report.imported = stored.imported;
        report.updated = stored.updated;
        report.duplicates = stored.duplicates;
        report.suppressed = stored.suppressed;
        if let Owner::Campaign(campaign) = owner {
            self.note_import(campaign, &report).await?;
        }
        Ok(report)
    }

    /// Adds contacts by a call, along the same path as an import: objects with the keys a file would have as headers.
    ///
    /// # Errors
    /// As [`Engine::import_contacts`].
    pub async fn add_contacts(
        &self,
        campaign: CampaignId,
        rows: Vec<serde_json::Map<String, serde_json::Value>>,
        options: ImportOptions,
    ) -> Result<ImportReport> {
        self.import_contacts(campaign, ImportSource::Rows(rows), options).await
    }

    /// Takes out what earlier imports brought and nobody has tried to reach: a file what files brought, rows what rows brought too.
    async fn remove_untouched(&self, campaign: CampaignId, rows: bool) -> Result<()> {
        let core = &self.core;
        let brought = |source: ContactSource| source.is_file() || (rows && source == ContactSource::Api);
        let paging = Paging { offset: 0, limit: BATCH as u32 };
        let statuses = vec![ContactStatus::Pending, ContactStatus::Skipped];
        let mut query = ContactQuery { statuses, paging, count: false, ..ContactQuery::of(Owner::Campaign(campaign)) };
        loop {
            let page = core.guarded(core.store.contacts(query.clone())).await?.items;
            let Some(last) = page.last() else { return Ok(()) };
            query.after = Some(last.id);
            let ids: Vec<ContactId> = page.iter().filter(|contact| brought(contact.person.source)).map(|contact| contact.id).collect();
            if !ids.is_empty() {
                starts::bulk_of(core, campaign, Selection::Ids(ids), BulkAction::RemoveUntouched).await?;
            }
        }
    }

    async fn store_contacts(
        &self,
        owner: Owner,
        organization: Option<i64>,
        contacts: Arc<[NewContact]>,
        duplicates: DuplicatePolicy,
    ) -> Result<Vec<Added>> {
        let core = &self.core;
        let add = AddContacts { request_id: Uuid::new_v4(), owner, organization, contacts, duplicates, now: core.now() };
        let added = core.guarded(core.store.add_contacts(add)).await?;
        if let Owner::Campaign(campaign) = owner {
            core.look_by(campaign, core.now());
        }
        Ok(added)
    }

    /// Whether contacts may be added: the owner exists, and a campaign has not ended. An ended one would leave them pending for ever.
    /// Returns the owner's organisation.
    async fn open_for_contacts(&self, owner: Owner) -> Result<Option<i64>> {
        match owner {
            Owner::Campaign(campaign) => {
                let record = self.core.record(campaign).await?;
                crate::store::open_for_contacts(&record)?;
                Ok(record.spec.organization)
            }
            Owner::List(list) => Ok(self.get_list(list).await?.organization),
        }
    }

    /// Remembers the file and which variables there are now.
    async fn note_import(&self, campaign: CampaignId, report: &ImportReport) -> Result<()> {
        let now = self.core.now();
        let mut found: BTreeMap<String, String> =
            report.mapping.columns.iter().filter_map(|column| Some((column.variable.clone()?, column.header.clone()))).collect();
        if !report.nested.is_empty() {
            // The object itself is no variable; what is in it is.
            found.remove("variables");
            for name in &report.nested {
                found.entry(name.clone()).or_insert_with(|| format!("variables.{name}"));
            }
        }
        self.core
            .change(campaign, None, |record| {
                let mut spec = crate::campaign::CampaignSpec::clone(&record.spec);
                spec.available_variables.extend(found.clone());
                record.spec = Arc::new(spec);
                if report.format.is_some() {
                    record.last_import_file_name.clone_from(&report.file_name);
                    record.last_import_date = Some(now);
                    record.last_import_row_count = Some(report.total);
                }
                Ok(())
            })
            .await
            .map(drop)
    }

    /// One contact.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist.
    pub async fn get_contact(&self, id: ContactId) -> Result<Contact> {
        self.core.guarded(self.core.store.contact(id)).await?.ok_or_else(|| Error::not_found("contact", id))
    }

    /// Contacts of a campaign or a contact list.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list_contacts(&self, query: ContactQuery) -> Result<Page<Contact>> {
        self.core.guarded(self.core.store.contacts(query)).await
    }

    /// Removes contacts of a campaign or a contact list that are not being contacted right now; returns how many went.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_contacts(&self, owner: Owner, ids: Vec<ContactId>) -> Result<u64> {
        let removed = self.core.guarded(self.core.store.remove_contacts(owner, ids)).await?;
        self.core.changed();
        Ok(removed)
    }

    /// Says that a person answered back (a message, a returned call). Mixed campaigns branch on it at once.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the contact does not exist.
    pub async fn record_reply(&self, id: ContactId) -> Result<Contact> {
        reply(&self.core, id).await
    }

    // --- contact lists ---------------------------------------------------------------------------------------------------

    /// Creates a contact list, of an organisation or the program's own.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an empty name, and for an organisation below 1.
    pub async fn create_list(&self, name: &str, description: Option<&str>, organization: Option<i64>) -> Result<ContactList> {
        if name.trim().is_empty() {
            return Err(Error::invalid("name", "a contact list needs a name"));
        }
        check_organization(organization)?;
        let core = &self.core;
        let id = ListId(core.guarded(core.store.next_number(LISTS.to_owned())).await?);
        let (name, description) = (name.trim().to_owned(), description.map(str::to_owned));
        let list = ContactList { id, name, description, organization, created_at: core.now() };
        let value = serde_json::to_value(&list).map_err(|error| Error::new(Kind::Internal, "a list must serialise").with_source(error))?;
        let put = PutDocument { collection: LISTS.to_owned(), key: list_key(id), value, expected_revision: Some(0) };
        core.guarded(core.store.put_document(put)).await?;
        Ok(list)
    }

    /// One contact list.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist.
    pub async fn get_list(&self, id: ListId) -> Result<ContactList> {
        let query = DocumentQuery { collection: LISTS.to_owned(), key: Some(list_key(id)), after: None, limit: 1 };
        let found = self.core.guarded(self.core.store.documents(query)).await?;
        found.into_iter().next().map(|document| parse_list(document.value)).unwrap_or_else(|| Err(Error::not_found("contact list", id)))
    }

    /// Changes the name or the description of a contact list; what is `None` stays.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when it does not exist, [`Kind::Invalid`] for an empty name.
    pub async fn update_list(&self, id: ListId, name: Option<&str>, description: Option<&str>) -> Result<ContactList> {
        if name.is_some_and(|name| name.trim().is_empty()) {
            return Err(Error::invalid("name", "a contact list needs a name"));
        }
        let core = &self.core;
        for _ in 0..100 {
            let query = DocumentQuery { collection: LISTS.to_owned(), key: Some(list_key(id)), after: None, limit: 1 };
            let found = core.guarded(core.store.documents(query)).await?.into_iter().next();
            let document = found.ok_or_else(|| Error::not_found("contact list", id))?;
            let mut list = parse_list(document.value)?;
            list.name = name.map_or(list.name, |name| name.trim().to_owned());
            list.description = description.map(str::to_owned).or(list.description);
            let value =
                serde_json::to_value(&list).map_err(|error| Error::new(Kind::Internal, "a list must serialise").with_source(error))?;
            let expected_revision = Some(document.revision);
            match core
                .guarded(core.store.put_document(PutDocument { collection: LISTS.to_owned(), key: list_key(id), value, expected_revision }))
                .await
            {
                Ok(_) => return Ok(list),
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Kind::Conflict, "the contact list is being changed by others; try again").with("list", id))
    }

    /// Every contact list, or those of one organisation, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn lists(&self, organization: Option<i64>) -> Result<Vec<ContactList>> {
        let mut lists = Vec::new();
        let mut after = None;
        loop {
            let query = DocumentQuery { collection: LISTS.to_owned(), key: None, after: after.take(), limit: 1000 };
            let page = self.core.guarded(self.core.store.documents(query)).await?;
            after = page.last().map(|document| document.key.clone());
            let last = page.len() < 1000;
            for document in page {
                let list = parse_list(document.value)?;
                if organization.is_none_or(|id| list.organization == Some(id)) {
                    lists.push(list);
                }
            }
            if last {
                return Ok(lists);
            }
        }
    }

    /// Deletes a contact list with its contacts. Campaigns it was attached to keep theirs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn delete_list(&self, id: ListId) -> Result<()> {
        let owner = Owner::List(id);
        loop {
            let query = ContactQuery { paging: Paging { offset: 0, limit: 1000 }, count: false, ..ContactQuery::of(owner) };
            let ids: Vec<ContactId> = self.list_contacts(query).await?.items.iter().map(|contact| contact.id).collect();
            if ids.is_empty() {
                break;
            }
            self.remove_contacts(owner, ids).await?;
        }
        self.core.guarded(self.core.store.delete_document(LISTS.to_owned(), list_key(id))).await.map(drop)
    }

    /// Copies the contacts of a list into a campaign. Numbers the campaign has already are counted as duplicates.
    ///
    /// # Errors
    /// [`Kind::NotFound`] when the list or the campaign does not exist, [`Kind::Invalid`] when they belong to different organisations.
    pub async fn attach_list(&self, list: ListId, campaign: CampaignId) -> Result<ImportReport> {
        let of_list = self.open_for_contacts(Owner::List(list)).await?;
        let organization = self.open_for_contacts(Owner::Campaign(campaign)).await?;
        if of_list != organization {
            let error = Error::invalid("list", "the contact list and the campaign belong to different organisations");
            return Err(error.with("list", list).with("campaign", campaign));
        }
        let mut report = ImportReport::default();
        let mut after = None;
        loop {
            let query = ContactQuery {
                after,
                paging: Paging { offset: 0, limit: BATCH as u32 },
                count: false,
                ..ContactQuery::of(Owner::List(list))
            };
            let page = self.list_contacts(query).await?.items;
            let Some(last) = page.last() else { return Ok(report) };
            after = Some(last.id);
            let contacts: Arc<[NewContact]> =
                page.iter().map(|contact| NewContact { source: ContactSource::List, ..NewContact::clone(&contact.person) }).collect();
            report.total += contacts.len() as u64;
            report.record(&self.store_contacts(Owner::Campaign(campaign), organization, contacts, DuplicatePolicy::Skip).await?);
        }
    }

    // --- suppression -----------------------------------------------------------------------------------------------------

    /// Puts numbers on the suppression list. They are not contacted any more, on any channel, from the next hand-off on.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an organisation below 1, and when the store fails.
    pub async fn suppress(&self, entries: Vec<Suppression>) -> Result<()> {
        entries.iter().try_for_each(|entry| check_scope(entry.scope))?;
        self.core.guarded(self.core.store.suppress(entries)).await?;
        self.core.changed();
        self.core.acknowledge().await;
        Ok(())
    }

    /// Takes numbers off the suppression list; returns how many were on it. Contacts skipped meanwhile stay skipped.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an organisation below 1, and when the store fails.
    pub async fn unsuppress(&self, keys: Vec<SuppressionKey>) -> Result<u64> {
        keys.iter().try_for_each(|key| check_scope(key.scope))?;
        let removed = self.core.guarded(self.core.store.unsuppress(keys)).await?;
        self.core.changed();
        Ok(removed)
    }

    /// Entries of the suppression list, by number.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an organisation below 1, and when the store cannot be read.
    pub async fn suppressions(&self, query: SuppressionQuery) -> Result<Page<Suppression>> {
        query.scope.into_iter().chain(query.after.as_ref().map(|key| key.scope)).try_for_each(check_scope)?;
        self.core.guarded(self.core.store.suppressions(query)).await
    }

    /// Imports a file of numbers into the suppression list. A `reason` column is taken over; without one the reason is `reason`.
    ///
    /// # Errors
    /// As [`Engine::import_contacts`].
    pub async fn import_suppressions(
        &self,
        source: ImportSource,
        options: ImportOptions,
        scope: SuppressionScope,
        reason: &str,
    ) -> Result<ImportReport> {
        let core = &self.core;
        let mut reader = Reading::start(core, source, options);
        let mut imported = 0;
        loop {
            match reader.next().await? {
                Step::Batch(batch, _) => {
                    let created_at = core.now();
                    let entries: Vec<Suppression> = batch
                        .contacts
                        .into_iter()
                        .map(|contact| Suppression {
                            reason: contact.variables.get("reason").and_then(|value| value.as_str()).unwrap_or(reason).to_owned(),
                            phone: contact.phone,
                            scope,
                            source: Some("import".to_owned()),
                            created_at,
                            expires_at: None,
                        })
                        .collect();
                    imported += entries.len() as u64;
                    self.suppress(entries).await?;
                }
                Step::Done(mut report) => {
                    report.imported = imported;
                    return Ok(*report);
                }
            }
        }
    }

    /// Writes the suppression list as CSV: `phone_number,scope,reason,source,created_at,expires_at`. Returns how many entries.
    ///
    /// # Errors
    /// When the store cannot be read or the writer fails.
    pub async fn export_suppressions(&self, to: impl std::io::Write + Send) -> Result<u64> {
        let failed = |error: csv::Error| Error::new(Kind::Unavailable, "the export could not be written").with_source(error);
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(["phone_number", "scope", "reason", "source", "created_at", "expires_at"]).map_err(failed)?;
        let mut after = None;
        let mut count = 0;
        loop {
            let query = SuppressionQuery { after: after.take(), paging: Paging { offset: 0, limit: 1000 }, ..SuppressionQuery::default() };
            let page = self.suppressions(query).await?.items;
            for entry in &page {
                let scope = match entry.scope {
                    SuppressionScope::Everything => "everything".to_owned(),
                    SuppressionScope::Organization(id) => format!("organization:{id}"),
                    SuppressionScope::Campaign(id) => format!("campaign:{id}"),
                };
                let expires = entry.expires_at.map(|at| at.to_string()).unwrap_or_default();
                let source = entry.source.as_deref().unwrap_or_default();
                csv.write_record([entry.phone.as_str(), &scope, &entry.reason, source, &entry.created_at.to_string(), &expires])
                    .map_err(failed)?;
                count += 1;
            }
            match page.last() {
                Some(last) => after = Some(SuppressionKey { phone: last.phone.clone(), scope: last.scope }),
                None => break,
            }
        }
        csv.flush().map_err(|error| Error::new(Kind::Unavailable, "the export could not be written").with_source(error))?;
        Ok(count)
    }

    /// Whether a number is suppressed now, in all campaigns of an organisation when one is named, else everywhere.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an organisation below 1, and when the store cannot be read.
    pub async fn is_suppressed(&self, phone: &PhoneNumber, organization: Option<i64>) -> Result<bool> {
        let now = self.core.now();
        for scope in BTreeSet::from([SuppressionScope::Everything, SuppressionScope::of(organization)]) {
            let query = SuppressionQuery { phone: Some(phone.clone()), scope: Some(scope), ..SuppressionQuery::default() };
            if self.suppressions(query).await?.items.iter().any(|entry| entry.expires_at.is_none_or(|at| at > now)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A person answered back: what comes next is planned anew.
pub(crate) async fn reply(core: &Arc<Core>, id: ContactId) -> Result<Contact> {
    for _ in 0..100 {
        let contact = core.guarded(core.store.contact(id)).await?.ok_or_else(|| Error::not_found("contact", id))?;
        let now = core.now();
        let mut update = UpdateContact {
            id,
            expected_version: contact.state.version,
            transition: None,
            reason: None,
            due_at: None,
            step: None,
            replied_at: Some(now),
            now,
        };
        if contact.state.status == ContactStatus::Pending
            && let Owner::Campaign(campaign) = contact.owner
        {
            plan_after_reply(core, campaign, contact, now, &mut update).await?;
        }
        match core.guarded(core.store.update_contact(update)).await {
            Ok(contact) => {
                core.changed();
                return Ok(contact);
            }
            Err(error) if error.kind() == Kind::Conflict => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Conflict, "the contact is being changed by others; try again").with("contact", id))
}

async fn plan_after_reply(
    core: &Arc<Core>,
    campaign: CampaignId,
    mut contact: Contact,
    now: Timestamp,
    update: &mut UpdateContact,
) -> Result<()> {
    let active = core.active(campaign).await?;
    let history = history(core, &contact).await?;
    contact.state.replied_at = Some(now);
    // The policy is user code: a panic must not end the callback that brought the reply.
    let asked = catch_unwind(AssertUnwindSafe(|| active.policy.next(&view(core, &active, &contact, &history), now)));
    match asked.map_err(|_| Error::new(Kind::User, "the campaign's policy panicked").with("campaign", campaign))? {
        Next::Reach(step) => {
            update.due_at = Some(contact.state.due_at.min(now));
            update.step = Some(step);
        }
        Next::Wait { until, step, reason } => {
            update.due_at = Some(until);
            update.step = Some(step);
            update.reason = Some(reason);
        }
        Next::Finish { status, reason } => {
            update.transition = Some(transition::contact(contact.state.status, ContactEvent::Finish(status))?);
            update.reason = Some(reason);
        }
    }
    Ok(())
}

/// Settled attempts of the contact's current run that consumed one, oldest first.
pub(crate) async fn history(core: &Arc<Core>, contact: &Contact) -> Result<Vec<Attempt>> {
    let query = AttemptQuery {
        contact: Some(contact.id),
        run: Some(contact.state.run),
        paging: Paging { offset: 0, limit: 1000 },
        ..AttemptQuery::default()
    };
    let mut attempts = core.guarded(core.store.attempts(query)).await?.items;
    attempts.retain(|attempt| attempt.outcome.is_some());
    attempts.reverse();
    Ok(attempts)
}

fn check_scope(scope: SuppressionScope) -> Result<()> {
    match scope {
        SuppressionScope::Organization(id) => check_organization(Some(id)),
        SuppressionScope::Everything | SuppressionScope::Campaign(_) => Ok(()),
    }
}

fn list_key(id: ListId) -> String {
    // Padded, so that keys sort as numbers.
    format!("{:016}", id.0)
}

fn parse_list(value: serde_json::Value) -> Result<ContactList> {
    serde_json::from_value(value).map_err(|error| Error::new(Kind::Corrupt, "a stored contact list cannot be read").with_source(error))
}
