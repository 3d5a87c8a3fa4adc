//! Contacts: added, listed, changed by hand and in bulk, removed.

use super::campaigns;
use super::db::Db;
use super::fault::Outcome as Result;
use super::filter::Filter;
use super::rows::{self, micros};
use super::suppression::Facts;
use super::writer::Writer;
use crate::contact::{Contact, ContactState, ContactStatus, NewContact, Owner, Reason};
use crate::error::{Error, Kind};
use crate::id::{CampaignId, ContactId};
use crate::policy::gates::{self, ContactFacts, Verdict};
use crate::policy::transition::{self, ContactEvent};
use crate::store::codes::Code;
use crate::store::codes::{json, owner_code};
use crate::store::{AddContacts, Added, BulkAction, BulkChange, ContactQuery, DuplicatePolicy, Page, Selection, UpdateContact};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};
use std::sync::Arc;

pub(super) fn get(db: &Db, id: ContactId) -> Result<Option<Contact>> {
    let mut statement = db.conn.prepare_cached(concat!("SELECT ", rows::contact_columns!(), " FROM contacts WHERE id = ?1"))?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map(|row| rows::contact(db, row)).transpose()
}

fn must_get(db: &Db, id: ContactId) -> Result<Contact> {
    get(db, id)?.ok_or_else(|| Error::not_found("contact", id).into())
}

// --- adding --------------------------------------------------------------------------------------------------------------

pub(super) fn add(w: &mut Writer, add: &AddContacts) -> Result<Vec<Added>> {
    if let Some(memo) = w.memo.added(add.request_id) {
        return Ok(memo.to_vec());
    }
    let run = match add.owner {
        Owner::Campaign(id) => campaigns::current_run(&w.db, id)?,
        Owner::List(_) => 1,
    };
    let people = Facts::new(&w.db, add.owner)?.or_of(add.organization);
    let mut answer = Vec::with_capacity(add.contacts.len());
    for new in add.contacts.iter() {
        answer.push(add_one(w, add, new, run, people)?);
    }
    w.flush_counts()?;
    w.memo.keep_added(add.request_id, Arc::from(answer.as_slice()));
    Ok(answer)
}

fn add_one(w: &mut Writer, add: &AddContacts, new: &NewContact, run: u32, people: Facts) -> Result<Added> {
    let mut state = ContactState::new(run, add.now);
    let facts = ContactFacts { suppressed: people.suppressed(&w.db, &new.phone, add.now)?, recent: Vec::new() };
    let suppressed = match gates::suppression(&facts) {
        Verdict::Never { reason } => {
            state.status = ContactStatus::Skipped;
            state.reason = Some(reason);
            state.completed_at = Some(add.now);
            true
        }
        _ => false,
    };
    let id = ContactId(w.counters.last_contact + 1);
    if insert(w, id, add.owner, new, &state, micros(add.now))? {
        w.counters.last_contact = id.0;
        return Ok(if suppressed { Added::Suppressed(id) } else { Added::New(id) });
    }
    let mut known = w.db.conn.prepare_cached("SELECT id FROM contacts WHERE phone = ?1 AND owner = ?2")?;
    let id = ContactId(known.query_row(params![new.phone.as_str(), owner_code(add.owner)], |row| row.get(0))?);
    drop(known);
    match add.duplicates {
        DuplicatePolicy::Skip => Ok(Added::Duplicate(id)),
        DuplicatePolicy::UpdateVariables => {
            update_person(w, id, new)?;
            Ok(Added::Updated(id))
        }
    }
}

/// Stores a contact and counts it; `false` when its owner has the number already.
fn insert(w: &mut Writer, id: ContactId, owner: Owner, person: &NewContact, state: &ContactState, created_at: i64) -> Result<bool> {
    let zone = w.zone(&person.zones)?;
    let (step, channel) = state.step.as_ref().map(|step| (step.step, step.channel.code())).unzip();
    let (code, text) = state.reason.as_ref().map(|reason| (&reason.code, &reason.text)).unzip();
    let inserted =
        w.db.conn
            .prepare_cached(concat!(
                "INSERT INTO contacts (",
                rows::contact_columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
                ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28)
             ON CONFLICT (phone, owner) DO NOTHING",
            ))?
            .execute(params![
                id.0,
                owner_code(owner),
                zone,
                state.status.code(),
                micros(state.due_at),
                state.run,
                state.attempts,
                state.version as i64,
                step,
                channel,
                state.last_disposition.map(Code::code),
                state.last_attempt_at.map(micros),
                state.replied_at.map(micros),
                state.completed_at.map(micros),
                state.answered_calls,
                state.call_attempts,
                state.duration_seconds as i64,
                state.cost.0,
                person.source.code(),
                created_at,
                code,
                text,
                person.phone.as_str(),
                person.name,
                person.email,
                person.company,
                json(&person.consent, person.consent.is_none())?,
                json(&person.variables, person.variables.is_empty())?,
            ])?;
    if inserted > 0 {
        count(w, owner, state, 1);
    }
    Ok(inserted > 0)
}

/// Counts a contact in (`1`) or out (`-1`) with its sums.
fn count(w: &mut Writer, owner: Owner, state: &ContactState, sign: i64) {
    let Owner::Campaign(campaign) = owner else { return };
    w.counts(campaign).contact(state, sign);
}

/// Takes over what a new row brings for a known contact; what it leaves out stays.
fn update_person(w: &mut Writer, id: ContactId, new: &NewContact) -> Result<()> {
    let old = must_get(&w.db, id)?.person;
    let zones = if new.zones.is_unknown() { &old.zones } else { &new.zones };
    let zone = w.zone(zones)?;
    let consent = new.consent.as_ref().or(old.consent.as_ref());
    let mut variables = old.variables.clone();
    variables.extend(new.variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET name = ?2, email = ?3, company = ?4, zone_id = ?5, consent = ?6, variables = ?7, version = version + 1
             WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            new.name.as_ref().or(old.name.as_ref()),
            new.email.as_ref().or(old.email.as_ref()),
            new.company.as_ref().or(old.company.as_ref()),
            zone,
            json(&consent, consent.is_none())?,
            json(&variables, variables.is_empty())?,
        ])?;
    Ok(())
}

/// Writes a contact as it is, in place of one with the same id.
pub(super) fn restore(w: &mut Writer, contact: &Contact) -> Result<()> {
    if let Some(old) = get(&w.db, contact.id)? {
        w.db.conn.prepare_cached("DELETE FROM contacts WHERE id = ?1")?.execute([contact.id.0])?;
        count(w, old.owner, &old.state, -1);
    }
    w.counters.last_contact = w.counters.last_contact.max(contact.id.0);
    if !insert(w, contact.id, contact.owner, &contact.person, &contact.state, micros(contact.created_at))? {
        return Err(Error::new(Kind::Conflict, "the number of a restored contact belongs to another contact of the same owner")
            .with("contact", contact.id)
            .into());
    }
    Ok(())
}

// --- listing -------------------------------------------------------------------------------------------------------------

pub(super) fn list(db: &Db, query: &ContactQuery) -> Result<Page<Contact>> {
    let mut filter = Filter::default();
    filter.add("owner = ?", [Value::from(owner_code(query.owner))]);
    filter.any("status", query.statuses.iter().map(|status| status.code()));
    if let Some(after) = query.after {
        filter.add("id > ?", [Value::from(after.0)]);
    }
    if let Some(search) = &query.search {
        let search = Value::from(search.to_ascii_lowercase());
        filter.add(
            "(instr(lower(name), ?) > 0 OR instr(lower(email), ?) > 0 OR instr(phone, ?) > 0)",
            [search.clone(), search.clone(), search],
        );
    }
    // A campaign's contacts are counted already, and who knows how many there are stops at the last one.
    let counted = match (query.owner, query.after, &query.search) {
        (Owner::Campaign(id), None, None) => Some(campaigns::counted(db, id)?.unwrap_or_default().with(&query.statuses)),
        _ => None,
    };
    let total = match counted {
        _ if !query.count => 0,
        Some(total) => total,
        None => filter.count(db, "contacts INDEXED BY contacts_owner")?,
    };
    let paging = counted.map_or(query.paging, |total| query.paging.within(total));
    if paging.limit == 0 {
        return Ok(Page { items: Vec::new(), total });
    }
    let (sql, values) = filter.page(rows::contact_columns!(), "contacts INDEXED BY contacts_owner", "id", paging);
    let mut statement = db.conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(rows::contact(db, row)?);
    }
    Ok(Page { items, total })
}

// --- changing ------------------------------------------------------------------------------------------------------------

pub(super) fn update(w: &mut Writer, update: UpdateContact) -> Result<Contact> {
    let mut contact = must_get(&w.db, update.id)?;
    let state = &mut contact.state;
    if state.version != update.expected_version {
        return Err(Error::new(Kind::Conflict, "the contact was changed in between; read it again").with("contact", update.id).into());
    }
    if let Some(transition) = update.transition {
        let (from, to) = (transition.from(), transition.to());
        if from != state.status || from == ContactStatus::InProgress || to == ContactStatus::InProgress {
            let message = format!("a contact that is {} cannot be changed from {from} to {to}", state.status);
            return Err(Error::new(Kind::State, message).with("contact", update.id).into());
        }
        if let Owner::Campaign(campaign) = contact.owner {
            w.counts(campaign).moved(from, to);
        }
        state.status = to;
        state.completed_at = to.is_terminal().then_some(update.now);
    }
    state.reason = update.reason.or(state.reason.take());
    state.due_at = update.due_at.unwrap_or(state.due_at);
    state.step = update.step.or(state.step.take());
    state.replied_at = update.replied_at.or(state.replied_at);
    state.version += 1;
    write_state(w, contact.id, state)?;
    w.changed();
    Ok(contact)
}

/// Writes what [`update`] may have changed.
fn write_state(w: &Writer, id: ContactId, state: &ContactState) -> Result<()> {
    let (step, channel) = state.step.as_ref().map(|step| (step.step, step.channel.code())).unzip();
    let (code, text) = state.reason.as_ref().map(|reason| (&reason.code, &reason.text)).unzip();
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET status = ?2, reason_code = ?3, reason_text = ?4, due_at = ?5, step = ?6, step_channel = ?7, replied_at = ?8,
                completed_at = ?9, version = ?10
             WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            state.status.code(),
            code,
            text,
            micros(state.due_at),
            step,
            channel,
            state.replied_at.map(micros),
            state.completed_at.map(micros),
            state.version as i64,
        ])?;
    Ok(())
}

pub(super) fn remove(w: &mut Writer, owner: Owner, ids: &[ContactId]) -> Result<u64> {
    let mut removed = 0;
    for &id in ids {
        if let Some(contact) = get(&w.db, id)?
            && contact.owner == owner
            && contact.state.status != ContactStatus::InProgress
        {
            remove_one(w, &contact)?;
            removed += 1;
        }
    }
    w.changed();
    Ok(removed)
}

fn remove_one(w: &mut Writer, contact: &Contact) -> Result<()> {
    for sql in [
        "DELETE FROM attempts WHERE contact_id = ?1",
        "DELETE FROM run_results WHERE contact_id = ?1",
        "DELETE FROM contacts WHERE id = ?1",
    ] {
        w.db.conn.prepare_cached(sql)?.execute([contact.id.0])?;
    }
    count(w, contact.owner, &contact.state, -1);
    Ok(())
}

// --- in bulk -------------------------------------------------------------------------------------------------------------

pub(super) fn bulk_change(w: &mut Writer, change: &BulkChange) -> Result<u64> {
    campaigns::must_exist(&w.db, change.campaign)?;
    let contacts = chosen(&w.db, change)?;
    for contact in &contacts {
        match &change.action {
            BulkAction::Reset { run } => reset(w, contact, *run, micros(change.now))?,
            BulkAction::Cancel { reason } => finish(w, change, contact, ContactEvent::Cancel, reason)?,
            BulkAction::Skip { reason } => finish(w, change, contact, ContactEvent::Finish(ContactStatus::Skipped), reason)?,
            BulkAction::RemoveUntouched => remove_one(w, contact)?,
        }
    }
    w.changed();
    Ok(contacts.len() as u64)
}

/// Up to `limit` contacts the change applies to. Each search walks an index that the changed contacts leave, so repeating it to the
/// end of a long list does not get slower.
fn chosen(db: &Db, change: &BulkChange) -> Result<Vec<Contact>> {
    const PENDING: (ContactStatus, &str) = (ContactStatus::Pending, "INDEXED BY contacts_due WHERE owner = ?1 AND status = 0");
    const SKIPPED: (ContactStatus, &str) = (ContactStatus::Skipped, "INDEXED BY contacts_skipped WHERE owner = ?1 AND status = 7");
    let mut found = Vec::new();
    let limit = change.limit as usize;
    if let Selection::Ids(ids) = &change.selection {
        let mut ids = ids.clone();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if found.len() == limit {
                break;
            }
            found.extend(get(db, id)?.filter(|contact| applies(change, contact)));
        }
        return Ok(found);
    }
    let wanted = |status: ContactStatus| match &change.selection {
        Selection::Statuses(statuses) => statuses.contains(&status),
        _ => true,
    };
    match change.action {
        BulkAction::Reset { run } => {
            let codes: Vec<String> = ContactStatus::ALL
                .into_iter()
                .filter(|status| status.is_terminal() && wanted(*status))
                .map(|status| status.code().to_string())
                .collect();
            let condition = format!("INDEXED BY contacts_run WHERE owner = ?1 AND run < {run} AND status IN ({})", codes.join(", "));
            search(db, &condition, change.campaign, limit, &mut found)?;
        }
        BulkAction::Cancel { .. } | BulkAction::Skip { .. } => {
            for (_, condition) in [PENDING].into_iter().filter(|(status, _)| wanted(*status)) {
                search(db, condition, change.campaign, limit, &mut found)?;
            }
        }
        BulkAction::RemoveUntouched => {
            for (_, condition) in [PENDING, SKIPPED].into_iter().filter(|(status, _)| wanted(*status)) {
                search(db, condition, change.campaign, limit, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn search(db: &Db, condition: &str, campaign: CampaignId, limit: usize, found: &mut Vec<Contact>) -> Result<()> {
    let mut statement = db.conn.prepare_cached(&format!("SELECT {} FROM contacts {condition} LIMIT ?2", rows::contact_columns!()))?;
    let left = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
    let mut rows = statement.query([campaign.0, left])?;
    while let Some(row) = rows.next()? {
        found.push(rows::contact(db, row)?);
    }
    Ok(())
}

fn applies(change: &BulkChange, contact: &Contact) -> bool {
    let status = contact.state.status;
    contact.owner == Owner::Campaign(change.campaign)
        && match change.action {
            BulkAction::Reset { run } => status.is_terminal() && contact.state.run < run,
            BulkAction::Cancel { .. } | BulkAction::Skip { .. } => status == ContactStatus::Pending,
            BulkAction::RemoveUntouched => matches!(status, ContactStatus::Pending | ContactStatus::Skipped),
        }
}

/// Keeps what the run came to, and begins the next one.
fn reset(w: &mut Writer, contact: &Contact, run: u32, now: i64) -> Result<()> {
    let to = transition::contact(contact.state.status, ContactEvent::Reset)?.to();
    w.db.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO run_results (contact_id, run, owner, status, reason_code, reason_text, attempts, last_disposition,
                completed_at, answered_calls, call_attempts, duration_seconds, cost)
             SELECT id, run, owner, status, reason_code, reason_text, attempts, last_disposition, completed_at, answered_calls,
                call_attempts, duration_seconds, cost
             FROM contacts WHERE id = ?1",
        )?
        .execute([contact.id.0])?;
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET status = ?2, due_at = ?3, run = ?4, attempts = 0, version = version + 1, step = NULL, step_channel = NULL,
                last_disposition = NULL, last_attempt_at = NULL, replied_at = NULL, completed_at = NULL, answered_calls = 0,
                call_attempts = 0, duration_seconds = 0, cost = 0, reason_code = NULL, reason_text = NULL
             WHERE id = ?1",
        )?
        .execute(params![contact.id.0, to.code(), now, run])?;
    count(w, contact.owner, &contact.state, -1);
    if let Owner::Campaign(campaign) = contact.owner {
        w.counts(campaign).add(to, 1);
    }
    Ok(())
}

fn finish(w: &mut Writer, change: &BulkChange, contact: &Contact, event: ContactEvent, reason: &Reason) -> Result<()> {
    let transition = transition::contact(contact.state.status, event)?;
    w.db.conn
        .prepare_cached(
            "UPDATE contacts SET status = ?2, reason_code = ?3, reason_text = ?4, completed_at = ?5, version = version + 1 WHERE id = ?1",
        )?
        .execute(params![contact.id.0, transition.to().code(), reason.code, reason.text, micros(change.now)])?;
    w.counts(change.campaign).moved(transition.from(), transition.to());
    Ok(())
}
