//! Listings and sums: what only looks.

use super::campaigns;
use super::db::Db;
use super::fault::Outcome as Result;
use super::filter::Filter;
use super::rows::{self, micros, moment};
use crate::contact::{Contact, ContactStatus, ZoneKey};
use crate::error::Error;
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::outcome::{Attempt, Disposition};
use crate::store::codes::Code;
use crate::store::codes::unsigned;
use crate::store::{AttemptQuery, Page, PendingZone, ReasonCount, TimelineBucket, TimelineQuery};
use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};
use std::collections::BTreeMap;

pub(super) fn attempt(db: &Db, id: AttemptId) -> Result<Option<Attempt>> {
    let mut statement = db.conn.prepare_cached(concat!("SELECT ", rows::attempt_columns!(), " FROM attempts WHERE id = ?1"))?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map(|row| rows::attempt(db, row)).transpose()
}

pub(super) fn must_get_attempt(db: &Db, id: AttemptId) -> Result<Attempt> {
    attempt(db, id)?.ok_or_else(|| Error::not_found("attempt", id).into())
}

/// Settled attempts of the contact's run, oldest first.
pub(super) fn history(db: &Db, contact: &Contact) -> Result<Vec<Attempt>> {
    if contact.state.attempts == 0 {
        return Ok(Vec::new());
    }
    let mut statement = db.conn.prepare_cached(concat!(
        "SELECT ",
        rows::attempt_columns!(),
        " FROM attempts WHERE contact_id = ?1 AND run = ?2 AND state = 2 ORDER BY id"
    ))?;
    let mut rows = statement.query(params![contact.id.0, contact.state.run])?;
    let mut history = Vec::new();
    while let Some(row) = rows.next()? {
        history.push(rows::attempt(db, row)?);
    }
    Ok(history)
}

pub(super) fn attempts(db: &Db, query: &AttemptQuery) -> Result<Page<Attempt>> {
    let mut filter = Filter::default();
    if let Some(id) = query.id {
        filter.add("id = ?", [Value::from(id.0)]);
    }
    if let Some(before) = query.before {
        filter.add("id < ?", [Value::from(before.0)]);
    }
    if let Some(contact) = query.contact {
        filter.add("contact_id = ?", [Value::from(contact.0)]);
    }
    if let Some(campaign) = query.campaign {
        // With a `+` SQLite takes the narrower index: one person has few attempts, a campaign has many.
        let narrower = query.contact.is_some() || query.provider_ref.is_some();
        filter.add(if narrower { "+campaign_id = ?" } else { "campaign_id = ?" }, [Value::from(campaign.0)]);
    }
    if let Some(run) = query.run {
        filter.add("run = ?", [Value::from(i64::from(run))]);
    }
    if let Some(provider_ref) = &query.provider_ref {
        filter.add("provider_ref = ?", [Value::from(provider_ref.clone())]);
    }
    filter.any("disposition", query.dispositions.iter().map(|disposition| disposition.code()));
    if query.open_only {
        filter.add("finished_at IS NULL", []);
    }
    let total = if query.count { filter.count(db, "attempts")? } else { 0 };
    let (sql, values) = filter.page(rows::attempt_columns!(), "attempts", "id DESC", query.paging);
    let mut statement = db.conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(rows::attempt(db, row)?);
    }
    Ok(Page { items, total })
}

/// The newest attempt of each of these contacts that has one.
pub(super) fn last_attempts(db: &Db, contacts: &[ContactId]) -> Result<Vec<Attempt>> {
    let mut statement = db.conn.prepare_cached(concat!(
        "SELECT ",
        rows::attempt_columns!(),
        " FROM attempts WHERE contact_id = ?1 ORDER BY id DESC LIMIT 1"
    ))?;
    let mut found = Vec::with_capacity(contacts.len());
    for contact in contacts {
        let mut rows = statement.query([contact.0])?;
        if let Some(row) = rows.next()? {
            found.push(rows::attempt(db, row)?);
        }
    }
    Ok(found)
}

/// The earliest pending contact of the next zone.
pub(super) const NEXT_ZONE: &str = "SELECT zone_id, due_at FROM contacts INDEXED BY contacts_due
    WHERE owner = ?1 AND status = 0 AND zone_id > ?2 ORDER BY zone_id, due_at LIMIT 1";

/// Jumps from zone to zone in the index of due contacts: as many seeks as there are zones.
pub(super) fn pending_zones(db: &Db, campaign: CampaignId) -> Result<Vec<PendingZone>> {
    campaigns::must_exist(db, campaign)?;
    let mut statement = db.conn.prepare_cached(NEXT_ZONE)?;
    let mut zones = Vec::new();
    let mut last = i64::MIN;
    while let Some((zone, due_at)) = statement.query_row([campaign.0, last], |row| Ok((row.get(0)?, row.get(1)?))).optional()? {
        last = zone;
        zones.push(PendingZone { zones: db.zone(zone)?, first_due: moment(due_at)? });
    }
    zones.sort_by(|a, b| a.zones.cmp(&b.zones));
    Ok(zones)
}

pub(super) fn reasons(db: &Db, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
    campaigns::must_exist(db, campaign)?;
    let mut statement = db.conn.prepare_cached(
        "SELECT status, iif(status = 0, zone_id, NULL) AS zone, reason_code, status = 0 AND due_at <= ?2 AS due,
            iif(status = 0, min(due_at), NULL), count(*)
         FROM contacts INDEXED BY contacts_owner WHERE owner = ?1 GROUP BY status, zone, reason_code, due",
    )?;
    let mut rows = statement.query([campaign.0, micros(now)])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        counts.push(ReasonCount {
            status: ContactStatus::decode(row.get(0)?)?,
            zones: row.get::<_, Option<i64>>(1)?.map_or_else(|| Ok(ZoneKey::unknown()), |zone| db.zone(zone))?,
            code: row.get(2)?,
            due: row.get(3)?,
            first_due: row.get::<_, Option<i64>>(4)?.map(moment).transpose()?,
            count: unsigned(row.get(5)?)?,
        });
    }
    counts.sort_by(|a, b| (a.status, &a.zones, &a.code, a.due).cmp(&(b.status, &b.zones, &b.code, b.due)));
    Ok(counts)
}

pub(super) fn timeline(db: &Db, query: &TimelineQuery) -> Result<Vec<TimelineBucket>> {
    campaigns::must_exist(db, query.campaign)?;
    let length = i64::from(query.bucket_seconds.max(1)) * 1_000_000;
    // Whole numbers are cut towards zero, so moments before 1970 need the second modulo.
    let mut statement = db.conn.prepare_cached(
        "SELECT finished_at - (finished_at % ?4 + ?4) % ?4 AS start, disposition, count(*), sum(duration_seconds), sum(charged)
         FROM attempts INDEXED BY attempts_finished
         WHERE campaign_id = ?1 AND finished_at >= ?2 AND finished_at < ?3 AND disposition IS NOT NULL
         GROUP BY start, disposition",
    )?;
    let mut rows = statement.query(params![query.campaign.0, micros(query.from), micros(query.to), length])?;
    let mut buckets: BTreeMap<i64, TimelineBucket> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let start: i64 = row.get(0)?;
        let empty = TimelineBucket { start: moment(start)?, dispositions: BTreeMap::new(), duration_seconds: 0, cost: Money::ZERO };
        let bucket = buckets.entry(start).or_insert(empty);
        bucket.dispositions.insert(Disposition::decode(row.get(1)?)?, unsigned(row.get(2)?)?);
        bucket.duration_seconds += unsigned::<u64>(row.get(3)?)?;
        bucket.cost += Money(row.get(4)?);
    }
    Ok(buckets.into_values().collect())
}
