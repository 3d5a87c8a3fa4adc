//! Campaign records, their counters, and what happens to them.

use super::db::Db;
use super::fault::Outcome as Result;
use super::ledgers::ledger_of;
use super::rows::micros;
use super::settle;
use super::writer::Writer;
use crate::campaign::{CampaignRecord, CampaignStatus, RunState};
use crate::contact::ContactStatus;
use crate::error::{Error, Kind};
use crate::id::{CampaignId, Money};
use crate::policy::announce;
use crate::policy::limits::LimitScope;
use crate::policy::metrics::Counts;
use crate::store::codes::Code;
use crate::store::codes::{json, unsigned};
use crate::store::{CampaignQuery, NewCampaign, Page, SaveCampaign, SaveGuard};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};
use std::sync::Arc;

pub(super) fn create(w: &mut Writer, new: NewCampaign) -> Result<CampaignRecord> {
    let request = new.request_id.to_string();
    let mut known = w.db.conn.prepare_cached("SELECT id FROM campaigns WHERE request_id = ?1")?;
    if let Some(id) = known.query_row([&request], |row| row.get(0)).optional()? {
        return get(&w.db, CampaignId(id))?.ok_or_else(|| Error::not_found("campaign", id).into());
    }
    drop(known);
    w.counters.last_campaign += 1;
    let record = CampaignRecord {
        id: CampaignId(w.counters.last_campaign),
        spec: Arc::new(new.spec),
        spec_version: 1,
        revision: 1,
        status: CampaignStatus::Draft,
        reason: None,
        run: RunState { number: 1, next_start: None, resetting: false },
        budget_announced_percent: 0,
        last_import_file_name: None,
        last_import_date: None,
        last_import_row_count: None,
        created_at: new.now,
        updated_at: new.now,
        started_at: None,
        completed_at: None,
    };
    w.db.conn
        .prepare_cached(
            "INSERT INTO campaigns (id, request_id, revision, status, campaign_type, name, record) VALUES (?1, ?2, 0, 0, '', '', '')",
        )?
        .execute(params![record.id.0, request])?;
    w.db.conn.prepare_cached("INSERT INTO campaign_counts (campaign_id) VALUES (?1)")?.execute([record.id.0])?;
    write(&w.db, &record)?;
    Ok(record)
}

/// Writes a record as it is, whether it is there or not.
pub(super) fn restore(w: &mut Writer, record: &CampaignRecord) -> Result<()> {
    let id = record.id.0;
    w.counters.last_campaign = w.counters.last_campaign.max(id);
    w.db.conn
        .prepare_cached("INSERT INTO campaigns (id, revision, status, campaign_type, name, record) VALUES (?1, 0, 0, '', '', '') ON CONFLICT DO NOTHING")?
        .execute([id])?;
    w.db.conn.prepare_cached("INSERT INTO campaign_counts (campaign_id) VALUES (?1) ON CONFLICT DO NOTHING")?.execute([id])?;
    write(&w.db, record)
}

fn write(db: &Db, record: &CampaignRecord) -> Result<()> {
    let spec = &record.spec;
    db.conn
        .prepare_cached(
            "UPDATE campaigns SET revision = ?2, status = ?3, campaign_type = ?4, assistant_id = ?5, name = ?6, description = ?7, record = ?8,
                organization = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            record.id.0,
            record.revision as i64,
            record.status.code(),
            kind(&spec.campaign_type)?,
            spec.assistant_id,
            spec.name,
            spec.description,
            serde_json::to_string(record)?,
            spec.organization,
        ])?;
    Ok(())
}

/// The kind of a campaign as text; a user's own kind may have the name of a built-in one, so the JSON form tells them apart.
fn kind(kind: &crate::campaign::CampaignType) -> Result<Option<String>> {
    Ok(json(kind, false)?)
}

pub(super) fn get(db: &Db, id: CampaignId) -> Result<Option<CampaignRecord>> {
    let mut statement = db.conn.prepare_cached("SELECT record FROM campaigns WHERE id = ?1")?;
    let text: Option<String> = statement.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

pub(super) fn list(db: &Db, query: &CampaignQuery) -> Result<Page<CampaignRecord>> {
    let mut filter = super::filter::Filter::default();
    filter.any("status", query.statuses.iter().map(|status| status.code()));
    if let Some(of) = &query.campaign_type {
        filter.add("campaign_type = ?", [Value::from(kind(of)?)]);
    }
    if let Some(organization) = query.organization {
        filter.add("organization = ?", [Value::from(organization)]);
    }
    if let Some(assistant) = query.assistant_id {
        filter.add("assistant_id = ?", [Value::from(assistant)]);
    }
    if let Some(search) = &query.search {
        let search = Value::from(search.to_ascii_lowercase());
        filter.add("(instr(lower(name), ?) > 0 OR instr(lower(description), ?) > 0)", [search.clone(), search]);
    }
    let total = if query.count { filter.count(db, "campaigns")? } else { 0 };
    let (sql, values) = filter.page("record", "campaigns", "id DESC", query.paging);
    let mut statement = db.conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(serde_json::from_str(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(Page { items, total })
}

pub(super) fn save(w: &mut Writer, save: SaveCampaign) -> Result<CampaignRecord> {
    let id = save.record.id;
    let old = get(&w.db, id)?.ok_or_else(|| Error::not_found("campaign", id))?;
    if old.revision != save.expected_revision {
        return Err(Error::new(Kind::Conflict, "the campaign was changed in between; read it again").with("campaign", id).into());
    }
    let counts = counts(&w.db, id)?;
    match save.guard {
        Some(SaveGuard::NoOpenContacts) if counts.open() > 0 => {
            return Err(Error::new(Kind::State, format!("{} contacts are still pending or in progress", counts.open()))
                .with("campaign", id)
                .into());
        }
        Some(SaveGuard::SomePendingContacts) if counts.of(ContactStatus::Pending) == 0 => {
            return Err(Error::new(Kind::State, "no contact is pending").with("campaign", id).into());
        }
        _ => {}
    }
    let mut record = save.record;
    record.revision = old.revision + 1;
    record.updated_at = save.now;
    write(&w.db, &record)?;
    for kind in announce::saved(&old, &record, spent(&w.db, id)?) {
        let seq = w.counters.next_seq();
        w.db.conn.prepare_cached("INSERT INTO campaign_events (seq, campaign_id, at, kind) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            seq,
            id.0,
            micros(save.now),
            serde_json::to_string(&kind)?
        ])?;
    }
    w.changed();
    Ok(record)
}

/// Money spent by a campaign over all its runs.
pub(super) fn spent(db: &Db, campaign: CampaignId) -> Result<Money> {
    Ok(ledger_of(db, &LimitScope::Campaign(campaign).key())?.spent)
}

pub(super) fn delete(w: &mut Writer, id: CampaignId) -> Result<()> {
    settle::forget_open(w, id)?;
    let campaign = [id.0];
    for sql in [
        "DELETE FROM attempts WHERE campaign_id = ?1",
        "DELETE FROM run_results WHERE owner = ?1",
        "DELETE FROM contacts WHERE owner = ?1",
        "DELETE FROM campaign_events WHERE campaign_id = ?1",
        "DELETE FROM campaign_counts WHERE campaign_id = ?1",
        "DELETE FROM campaigns WHERE id = ?1",
    ] {
        w.db.conn.prepare_cached(sql)?.execute(campaign)?;
    }
    w.db.conn.prepare_cached("DELETE FROM ledgers WHERE scope = ?1")?.execute([LimitScope::Campaign(id).key()])?;
    w.changed();
    Ok(())
}

/// The counters of a campaign.
pub(super) fn counts(db: &Db, id: CampaignId) -> Result<Counts> {
    counted(db, id)?.ok_or_else(|| Error::not_found("campaign", id).into())
}

/// The counters of those of these campaigns that exist.
pub(super) fn counts_of(db: &Db, campaigns: &[CampaignId]) -> Result<Vec<(CampaignId, Counts)>> {
    campaigns.iter().filter_map(|id| counted(db, *id).map(|counts| Some((*id, counts?))).transpose()).collect()
}

/// The counters of a campaign, when it exists.
pub(super) fn counted(db: &Db, id: CampaignId) -> Result<Option<Counts>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT pending, in_progress, completed, failed, no_answer, busy, voicemail, skipped, cancelled, call_attempts, answered_calls,
            duration_seconds, cost
         FROM campaign_counts WHERE campaign_id = ?1",
    )?;
    let mut rows = statement.query([id.0])?;
    let mut counts = Counts::default();
    let Some(row) = rows.next()? else { return Ok(None) };
    // The columns are in the order of the statuses.
    for (column, status) in ContactStatus::ALL.into_iter().enumerate() {
        let count: u64 = unsigned(row.get(column)?)?;
        if count > 0 {
            counts.by_status.insert(status, count);
        }
    }
    let sums = ContactStatus::ALL.len();
    counts.call_attempts = unsigned(row.get(sums)?)?;
    counts.answered_calls = unsigned(row.get(sums + 1)?)?;
    counts.duration_seconds = unsigned(row.get(sums + 2)?)?;
    counts.cost = Money(row.get(sums + 3)?);
    Ok(Some(counts))
}

/// Status and revision, the two things a claim looks at.
pub(super) fn standing(db: &Db, id: CampaignId) -> Result<Option<(CampaignStatus, u64)>> {
    let mut statement = db.conn.prepare_cached("SELECT status, revision FROM campaigns WHERE id = ?1")?;
    let row: Option<(i64, i64)> = statement.query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.map(|(status, revision)| Ok((CampaignStatus::decode(status)?, unsigned(revision)?))).transpose()
}

/// [`crate::Kind::NotFound`] when there is no such campaign.
pub(super) fn must_exist(db: &Db, id: CampaignId) -> Result<()> {
    standing(db, id)?.map(|_| ()).ok_or_else(|| Error::not_found("campaign", id).into())
}

/// The run a campaign is in, for new contacts.
pub(super) fn current_run(db: &Db, id: CampaignId) -> Result<u32> {
    let record = get(db, id)?.ok_or_else(|| Error::not_found("campaign", id))?;
    crate::store::open_for_contacts(&record)?;
    Ok(record.run.number)
}
