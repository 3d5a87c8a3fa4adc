//! Copying a store: what there is, and writing records as they are.

use super::db::Db;
use super::fault::Outcome as Result;
use super::ledgers::write_ledger;
use super::rows::micros;
use super::writer::Writer;
use super::{campaigns, contacts, documents, nodes, suppression};
use crate::contact::Owner;
use crate::error::Error;
use crate::outcome::Attempt;
use crate::store::codes::Code;
use crate::store::codes::json;
use crate::store::codes::limit_scope;
use crate::store::{Catalog, Snapshot};
use rusqlite::params;

pub(super) fn catalog(db: &Db) -> Result<Catalog> {
    let mut catalog = Catalog::default();
    let mut statement = db.conn.prepare_cached("SELECT DISTINCT collection FROM documents ORDER BY collection")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        catalog.collections.push(row.get(0)?);
    }
    let mut statement = db.conn.prepare_cached("SELECT name, value FROM sequences ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        catalog.sequences.push((row.get(0)?, row.get(1)?));
    }
    let mut statement = db.conn.prepare_cached("SELECT scope FROM ledgers")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        catalog.scopes.push(limit_scope(&row.get::<_, String>(0)?)?);
    }
    catalog.scopes.sort_unstable();
    Ok(catalog)
}

pub(super) fn restore(w: &mut Writer, snapshot: &Snapshot) -> Result<()> {
    for record in &snapshot.campaigns {
        campaigns::restore(w, record)?;
    }
    for contact in &snapshot.contacts {
        if let Owner::Campaign(id) = contact.owner {
            campaigns::must_exist(&w.db, id)?;
        }
        contacts::restore(w, contact)?;
    }
    for attempt in &snapshot.attempts {
        restore_attempt(w, attempt)?;
    }
    suppression::add(w, &snapshot.suppressions)?;
    for (collection, document) in &snapshot.documents {
        documents::write(w, collection, document)?;
    }
    for (name, last) in &snapshot.sequences {
        w.db.conn
            .prepare_cached("INSERT INTO sequences (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = max(value, ?2)")?
            .execute(params![name, last])?;
    }
    for (scope, ledger) in &snapshot.ledgers {
        write_ledger(&w.db, &scope.key(), ledger)?;
    }
    Ok(())
}

/// Writes an attempt as it is. It has no place in the stream of events: what it tells happened elsewhere.
fn restore_attempt(w: &mut Writer, attempt: &Attempt) -> Result<()> {
    let contact = contacts::get(&w.db, attempt.contact)?.ok_or_else(|| Error::not_found("contact", attempt.contact))?;
    w.counters.last_attempt = w.counters.last_attempt.max(attempt.id.0);
    nodes::restore_gone(w, attempt.claimed_by)?;
    let outcome = attempt.outcome.as_ref();
    w.db.conn
        .prepare_cached(
            "INSERT OR REPLACE INTO attempts (id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch,
                claimed_at, start_at, not_after, reserved, caller, provider_ref, started_at, finished_at, disposition, status_after,
                duration_seconds, charged, cost, outcome_ref, detail, data, reason_code, reason_text, restored_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26,
                ?27, ?28, ?29, ?30)",
        )?
        .execute(params![
            attempt.id.0,
            attempt.campaign.0,
            attempt.contact.0,
            attempt.run,
            attempt.number,
            attempt.step.step,
            attempt.step.channel.code(),
            attempt.spec_version,
            attempt.state.code(),
            attempt.claimed_by.node.0,
            attempt.claimed_by.epoch,
            micros(attempt.claimed_at),
            micros(attempt.start_at),
            micros(attempt.not_after),
            attempt.reserved.0,
            attempt.from,
            attempt.provider_ref,
            attempt.started_at.map(micros),
            attempt.finished_at.map(micros),
            outcome.map(|outcome| outcome.disposition.code()),
            contact.state.status.code(),
            outcome.map(|outcome| outcome.duration_seconds),
            outcome.map(|outcome| outcome.cost.unwrap_or(attempt.reserved).0),
            outcome.and_then(|outcome| outcome.cost).map(|cost| cost.0),
            outcome.and_then(|outcome| outcome.provider_ref.as_ref()),
            outcome.and_then(|outcome| outcome.detail.as_ref()),
            outcome.map(|outcome| json(&outcome.data, outcome.data.is_empty())).transpose()?.flatten(),
            attempt.reason.as_ref().map(|reason| &reason.code),
            attempt.reason.as_ref().map(|reason| &reason.text),
            // The provider knows the attempt by the key it was handed over with.
            (attempt.key != w.db.key(attempt.id)).then_some(&attempt.key),
        ])?;
    Ok(())
}
