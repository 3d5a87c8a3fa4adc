//! Contacts: added, listed, changed by hand, removed. Changes in bulk are in `bulk.rs`.

use super::campaigns;
use super::copy_in::{self, NewRow};
use super::counts::{self, Deltas};
use super::fault::Outcome as Result;
use super::filter::Filter;
use super::rows::{self, CONTACT, CONTACT_FROM, code, text};
use super::tx::{Tx, params};
use super::zones::ZoneIds;
use super::{memo, queue, suppression};
use crate::contact::{Contact, ContactState, ContactStatus, NewContact, Owner};
use crate::error::{Error, Kind};
use crate::id::ContactId;
use crate::policy::gates::{self, ContactFacts, Verdict};
use crate::store::codes::{Code, json, owner_code};
use crate::store::{AddContacts, Added, ContactQuery, DuplicatePolicy, Page, UpdateContact};
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) async fn get(tx: &Tx, id: ContactId) -> Result<Option<Contact>> {
    let sql = format!("SELECT {CONTACT} FROM {CONTACT_FROM} WHERE c.id = $1");
    tx.query_opt(&sql, params![id.0]).await?.map(|row| rows::contact(&row)).transpose()
}

/// Contacts by id, in the order of ids; what is not there is left out.
pub(super) async fn by_ids(tx: &Tx, ids: &[i64]) -> Result<Vec<Contact>> {
    let sql = format!("SELECT {CONTACT} FROM {CONTACT_FROM} WHERE c.id = ANY ($1) ORDER BY c.id");
    rows::contacts(&tx.query(&sql, params![ids.to_vec()]).await?)
}

/// The same, and nobody else changes them until the transaction ends.
pub(super) async fn lock(tx: &Tx, ids: &[i64]) -> Result<Vec<Contact>> {
    let sql = format!("SELECT {CONTACT} FROM {CONTACT_FROM} WHERE c.id = ANY ($1) ORDER BY c.id FOR UPDATE OF c");
    rows::contacts(&tx.query(&sql, params![ids.to_vec()]).await?)
}

// --- adding --------------------------------------------------------------------------------------------------------------

pub(super) async fn add(tx: &Tx, add: &AddContacts, zones: &ZoneIds) -> Result<Vec<Added>> {
    if let Some(answer) = memo::find(tx, add.request_id).await? {
        return Ok(answer);
    }
    let owner = owner_code(add.owner);
    // One at a time per owner, so that a number that is not there now is not there when the rows are copied in. Before the campaign is
    // held: several that wait holding it would keep a pause waiting.
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' owner ' || $1::text, 0))", params![owner]).await?;
    // A call that was given up while it committed has an answer by now.
    if let Some(answer) = memo::find(tx, add.request_id).await? {
        return Ok(answer);
    }
    // The campaign stays what it is while people are added: it cannot be completed or deleted in between.
    let run = match add.owner {
        Owner::Campaign(id) => {
            let record = campaigns::share(tx, id).await?;
            crate::store::open_for_contacts(&record)?;
            record.run.number
        }
        Owner::List(_) => 1,
    };
    let phones: Vec<&str> = add.contacts.iter().map(|new| new.phone.as_str()).collect();
    // One search per number: without fresh statistics the planner would rather read all contacts of the owner, and does not see through `+ 0`.
    let known = tx
        .query(
            "SELECT k.phone, k.id FROM (SELECT DISTINCT unnest($2) AS phone) n CROSS JOIN LATERAL
                (SELECT c.phone, c.id FROM contacts c WHERE c.phone = n.phone AND c.owner + 0 = $1 LIMIT 1) k",
            params![owner, phones],
        )
        .await?;
    let mut known: HashMap<&str, i64> =
        known.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<std::result::Result<_, tokio_postgres::Error>>()?;
    let mut fresh: Vec<(i64, NewContact, ContactState)> = Vec::new();
    let mut updates: BTreeMap<i64, Vec<&NewContact>> = BTreeMap::new();
    let suppressed = suppression::suppressed(tx, &phones, add.owner, add.organization, add.now).await?;
    let unknown: HashSet<&str> = phones.iter().copied().filter(|phone| !known.contains_key(phone)).collect();
    let mut ids = next_ids(tx, "contact_ids", unknown.len()).await?.into_iter();
    let mut deltas = Deltas::default();
    let mut answer = Vec::with_capacity(add.contacts.len());
    for new in add.contacts.iter() {
        let phone = new.phone.as_str();
        if let Some(&id) = known.get(phone) {
            answer.push(match add.duplicates {
                DuplicatePolicy::Skip => Added::Duplicate(ContactId(id)),
                DuplicatePolicy::UpdateVariables => {
                    updates.entry(id).or_default().push(new);
                    Added::Updated(ContactId(id))
                }
            });
            continue;
        }
        let Some(id) = ids.next() else { continue };
        known.insert(phone, id);
        let mut state = ContactState::new(run, add.now);
        let facts = ContactFacts { suppressed: suppressed.get(phone).cloned(), recent: Vec::new() };
        answer.push(match gates::suppression(&facts) {
            Verdict::Never { reason } => {
                state.status = ContactStatus::Skipped;
                state.reason = Some(reason);
                state.completed_at = Some(add.now);
                Added::Suppressed(ContactId(id))
            }
            _ => Added::New(ContactId(id)),
        });
        if let Owner::Campaign(campaign) = add.owner {
            deltas.of(campaign).contact(&state, 1);
        }
        fresh.push((id, new.clone(), state));
    }
    // A number that comes twice in one batch is updated before it is stored.
    for (id, person, state) in &mut fresh {
        for new in updates.remove(id).unwrap_or_default() {
            merge(person, new);
            state.version += 1;
        }
    }
    let mut new_rows = Vec::with_capacity(fresh.len());
    for (id, person, state) in &fresh {
        new_rows.push(NewRow { id: *id, owner, zone: zones.of(&person.zones)?, person, state, created_at: add.now });
    }
    copy_in::contacts(tx, &new_rows).await?;
    update_people(tx, updates, zones).await?;
    deltas.write(tx).await?;
    memo::keep(tx, add.request_id, &answer).await?;
    Ok(answer)
}

/// So many ids, ascending.
pub(super) async fn next_ids(tx: &Tx, sequence: &str, count: usize) -> Result<Vec<i64>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let rows = tx.query(&format!("SELECT nextval('{sequence}') FROM generate_series(1, $1)"), params![count as i64]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes over what a new row brings for a known contact; what it leaves out stays.
fn merge(person: &mut NewContact, new: &NewContact) {
    for (old, new) in [(&mut person.name, &new.name), (&mut person.email, &new.email), (&mut person.company, &new.company)] {
        if new.is_some() {
            old.clone_from(new);
        }
    }
    if !new.zones.is_unknown() {
        person.zones = new.zones.clone();
    }
    if new.consent.is_some() {
        person.consent.clone_from(&new.consent);
    }
    person.variables.extend(new.variables.iter().map(|(name, value)| (name.clone(), value.clone())));
}

async fn update_people(tx: &Tx, mut updates: BTreeMap<i64, Vec<&NewContact>>, zones: &ZoneIds) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = updates.keys().copied().collect();
    let contacts = lock(tx, &ids).await?;
    queue::take_out(tx, &ids).await?;
    for contact in contacts {
        let mut person = (*contact.person).clone();
        let news = updates.remove(&contact.id.0).unwrap_or_default();
        let versions = news.len() as i64;
        for new in news {
            merge(&mut person, new);
        }
        // The zone it had need not be among those of this batch.
        let zone = if person.zones == contact.person.zones { None } else { Some(zones.of(&person.zones)?) };
        tx.execute(
            "UPDATE contacts SET name = $2, email = $3, company = $4, zone_id = coalesce($5, zone_id), consent = $6, variables = $7,
                version = version + $8
             WHERE id = $1",
            params![
                contact.id.0,
                person.name.as_deref().map(text),
                person.email.as_deref().map(text),
                person.company.as_deref().map(text),
                zone,
                json(&person.consent, person.consent.is_none())?,
                json(&person.variables, person.variables.is_empty())?,
                versions,
            ],
        )
        .await?;
    }
    queue::put_in(tx, &ids).await
}

/// Writes contacts as they are, in place of those with the same ids.
pub(super) async fn restore(tx: &Tx, contacts: &[Contact], zones: &ZoneIds) -> Result<()> {
    let ids: Vec<i64> = contacts.iter().map(|contact| contact.id.0).collect();
    let mut deltas = Deltas::default();
    for old in lock(tx, &ids).await? {
        if let Owner::Campaign(campaign) = old.owner {
            deltas.of(campaign).contact(&old.state, -1);
        }
    }
    queue::take_out(tx, &ids).await?;
    tx.execute("DELETE FROM contacts WHERE id = ANY ($1)", params![ids]).await?;
    let owners: Vec<i64> = contacts.iter().map(|contact| owner_code(contact.owner)).collect();
    let phones: Vec<&str> = contacts.iter().map(|contact| contact.person.phone.as_str()).collect();
    let taken = tx
        .query_opt(
            "SELECT c.id FROM contacts c JOIN unnest($1, $2) AS n (owner, phone) ON c.phone = n.phone AND c.owner = n.owner LIMIT 1",
            params![owners, phones],
        )
        .await?;
    if let Some(row) = taken {
        let message = "the number of a restored contact belongs to another contact of the same owner";
        return Err(Error::new(Kind::Conflict, message).with("contact", row.try_get::<_, i64>(0)?).into());
    }
    let mut new_rows = Vec::with_capacity(contacts.len());
    for contact in contacts {
        if let Owner::Campaign(campaign) = contact.owner {
            deltas.of(campaign).contact(&contact.state, 1);
        }
        new_rows.push(NewRow {
            id: contact.id.0,
            owner: owner_code(contact.owner),
            zone: zones.of(&contact.person.zones)?,
            person: &contact.person,
            state: &contact.state,
            created_at: contact.created_at,
        });
    }
    copy_in::contacts(tx, &new_rows).await?;
    deltas.write(tx).await
}

// --- listing -------------------------------------------------------------------------------------------------------------

pub(super) async fn list(tx: &Tx, query: &ContactQuery) -> Result<Page<Contact>> {
    let mut filter = Filter::default();
    filter.add("c.owner = ?", owner_code(query.owner));
    filter.any("c.status", query.statuses.iter().map(|status| status.code()));
    if let Some(after) = query.after {
        filter.add("c.id > ?", after.0);
    }
    if let Some(search) = &query.search {
        // Only ASCII letters are alike in both cases, as in every store.
        filter.add(
            "(strpos(lower(c.name COLLATE \"C\"), ?) > 0 OR strpos(lower(c.email COLLATE \"C\"), ?) > 0 OR strpos(c.phone, ?) > 0)",
            text(&search.to_ascii_lowercase()),
        );
    }
    // A campaign's contacts are counted already, and who knows how many there are stops at the last one.
    let counted = match (query.owner, query.after, &query.search) {
        (Owner::Campaign(id), None, None) => {
            Some(counts::read_of(tx, &[id]).await?.pop().map_or(0, |(_, counts)| counts.with(&query.statuses)))
        }
        _ => None,
    };
    let total = match counted {
        _ if !query.count => 0,
        Some(total) => total,
        None => filter.count(tx, "contacts c").await?,
    };
    let paging = counted.map_or(query.paging, |total| query.paging.within(total));
    if paging.limit == 0 {
        return Ok(Page { items: Vec::new(), total });
    }
    let found = filter.page(tx, CONTACT, CONTACT_FROM, "c.id", paging).await?;
    Ok(Page { items: rows::contacts(&found)?, total })
}

// --- changing ------------------------------------------------------------------------------------------------------------

pub(super) async fn update(tx: &Tx, update: &UpdateContact) -> Result<Contact> {
    let id = update.id;
    let mut contact = lock(tx, &[id.0]).await?.pop().ok_or_else(|| Error::not_found("contact", id))?;
    let state = &mut contact.state;
    if state.version != update.expected_version {
        return Err(Error::new(Kind::Conflict, "the contact was changed in between; read it again").with("contact", id).into());
    }
    let mut deltas = Deltas::default();
    if let Some(transition) = update.transition {
        let (from, to) = (transition.from(), transition.to());
        if from != state.status || from == ContactStatus::InProgress || to == ContactStatus::InProgress {
            let message = format!("a contact that is {} cannot be changed from {from} to {to}", state.status);
            return Err(Error::new(Kind::State, message).with("contact", id).into());
        }
        if let Owner::Campaign(campaign) = contact.owner {
            deltas.of(campaign).moved(from, to);
        }
        state.status = to;
        state.completed_at = to.is_terminal().then_some(update.now);
    }
    state.reason = update.reason.clone().or(state.reason.take());
    state.due_at = update.due_at.unwrap_or(state.due_at);
    state.step = update.step.clone().or(state.step.take());
    state.replied_at = update.replied_at.or(state.replied_at);
    state.version += 1;
    queue::take_out(tx, &[id.0]).await?;
    write_state(tx, id, state).await?;
    queue::put_in(tx, &[id.0]).await?;
    deltas.write(tx).await?;
    campaigns::changed(tx).await?;
    Ok(contact)
}

/// Writes what [`update`] may have changed.
async fn write_state(tx: &Tx, id: ContactId, state: &ContactState) -> Result<()> {
    let (step, channel) = state.step.as_ref().map(|step| (step.step as i32, code(step.channel))).unzip();
    let (reason, words) = state.reason.as_ref().map(|reason| (text(&reason.code), text(&reason.text))).unzip();
    tx.execute(
        "UPDATE contacts SET status = $2, reason_code = $3, reason_text = $4, due_at = $5, step = $6, step_channel = $7, replied_at = $8,
            completed_at = $9, version = $10
         WHERE id = $1",
        params![
            id.0,
            code(state.status),
            reason,
            words,
            rows::stamp(state.due_at),
            step,
            channel,
            state.replied_at,
            state.completed_at,
            state.version as i64,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn remove(tx: &Tx, owner: Owner, ids: &[ContactId]) -> Result<u64> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let chosen: Vec<Contact> = lock(tx, &ids)
        .await?
        .into_iter()
        .filter(|contact| contact.owner == owner && contact.state.status != ContactStatus::InProgress)
        .collect();
    remove_all(tx, &chosen).await?;
    campaigns::changed(tx).await?;
    Ok(chosen.len() as u64)
}

/// Removes contacts that are locked and not in progress, with what they leave behind.
pub(super) async fn remove_all(tx: &Tx, contacts: &[Contact]) -> Result<()> {
    let ids: Vec<i64> = contacts.iter().map(|contact| contact.id.0).collect();
    queue::take_out(tx, &ids).await?;
    for table in ["attempts", "archived_attempts", "run_results"] {
        tx.execute(&format!("DELETE FROM {table} WHERE contact_id = ANY ($1)"), params![ids]).await?;
    }
    tx.execute("DELETE FROM contacts WHERE id = ANY ($1)", params![ids]).await?;
    let mut deltas = Deltas::default();
    for contact in contacts {
        if let Owner::Campaign(campaign) = contact.owner {
            deltas.of(campaign).contact(&contact.state, -1);
        }
    }
    deltas.write(tx).await
}
