//! Listings and sums: what only looks.

use super::campaigns;
use super::fault::Outcome as Result;
use super::filter::Filter;
use super::rows::{self, ATTEMPT, Columns, stamp};
use super::tx::{Tx, params};
use crate::contact::{Contact, ZoneKey};
use crate::error::Error;
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::outcome::{Attempt, AttemptState, Disposition};
use crate::store::codes::{Code, unsigned};
use crate::store::{AttemptQuery, Page, PendingZone, ReasonCount, TimelineBucket, TimelineQuery};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) async fn must_get_attempt(tx: &Tx, id: AttemptId) -> Result<Attempt> {
    let row = tx.query_opt(&format!("SELECT {ATTEMPT} FROM all_attempts WHERE id = $1"), params![id.0]).await?;
    rows::attempt(tx.store_id(), &row.ok_or_else(|| Error::not_found("attempt", id))?)
}

/// Settled attempts of each contact's current run, oldest first. Asks nothing when nobody has any.
pub(super) async fn histories(tx: &Tx, contacts: &[Contact]) -> Result<HashMap<ContactId, Vec<Attempt>>> {
    let runs: HashMap<ContactId, u32> =
        contacts.iter().filter(|contact| contact.state.attempts > 0).map(|contact| (contact.id, contact.state.run)).collect();
    let mut histories: HashMap<ContactId, Vec<Attempt>> = HashMap::new();
    if runs.is_empty() {
        return Ok(histories);
    }
    let ids: Vec<i64> = runs.keys().map(|id| id.0).collect();
    let sql = format!("SELECT {ATTEMPT} FROM attempts WHERE contact_id = ANY ($1) AND state = $2 ORDER BY id");
    let found = tx.query(&sql, params![ids, AttemptState::Settled.code() as i16]).await?;
    for attempt in rows::attempts(tx.store_id(), &found)? {
        if runs.get(&attempt.contact) == Some(&attempt.run) {
            histories.entry(attempt.contact).or_default().push(attempt);
        }
    }
    Ok(histories)
}

pub(super) async fn attempts(tx: &Tx, query: &AttemptQuery) -> Result<Page<Attempt>> {
    let mut filter = Filter::default();
    if let Some(id) = query.id {
        filter.add("id = ?", id.0);
    }
    if let Some(before) = query.before {
        filter.add("id < ?", before.0);
    }
    if let Some(contact) = query.contact {
        filter.add("contact_id = ?", contact.0);
    }
    if let Some(campaign) = query.campaign {
        filter.add("campaign_id = ?", campaign.0);
    }
    if let Some(run) = query.run {
        filter.add("run = ?", i32::try_from(run).unwrap_or(i32::MAX));
    }
    if let Some(provider_ref) = &query.provider_ref {
        filter.add("provider_ref = ?", rows::text(provider_ref));
    }
    filter.any("disposition", query.dispositions.iter().map(|disposition| disposition.code()));
    if query.open_only {
        filter.must("finished_at IS NULL");
    }
    let total = if query.count { filter.count(tx, "all_attempts").await? } else { 0 };
    let found = filter.page(tx, ATTEMPT, "all_attempts", "id DESC", query.paging).await?;
    Ok(Page { items: rows::attempts(tx.store_id(), &found)?, total })
}

/// The newest attempt of each of these contacts that has one, in their order.
pub(super) async fn last_attempts(tx: &Tx, contacts: &[ContactId]) -> Result<Vec<Attempt>> {
    let ids: Vec<i64> = contacts.iter().map(|id| id.0).collect();
    let sql =
        format!("SELECT DISTINCT ON (contact_id) {ATTEMPT} FROM all_attempts WHERE contact_id = ANY ($1) ORDER BY contact_id, id DESC");
    let found = rows::attempts(tx.store_id(), &tx.query(&sql, params![ids]).await?)?;
    let newest: HashMap<ContactId, Attempt> = found.into_iter().map(|attempt| (attempt.contact, attempt)).collect();
    Ok(contacts.iter().filter_map(|id| newest.get(id).cloned()).collect())
}

/// Jumps from zone to zone in the queue: as many seeks as there are zones.
pub(super) async fn pending_zones(tx: &Tx, campaign: CampaignId) -> Result<Vec<PendingZone>> {
    campaigns::must_exist(tx, campaign).await?;
    let sql = "WITH RECURSIVE groups AS (
            (SELECT zone_id, due_at FROM queue WHERE owner = $1 ORDER BY zone_id, due_at LIMIT 1)
            UNION ALL
            SELECT n.zone_id, n.due_at FROM groups g CROSS JOIN LATERAL (
                SELECT zone_id, due_at FROM queue WHERE owner = $1 AND zone_id > g.zone_id ORDER BY zone_id, due_at LIMIT 1) n)
        SELECT z.key, g.due_at FROM groups g JOIN zones z ON z.id = g.zone_id";
    let rows = tx.query(sql, params![campaign.0]).await?;
    let mut zones = Vec::with_capacity(rows.len());
    for row in &rows {
        zones.push(PendingZone { zones: ZoneKey(Arc::from(row.try_get::<_, &str>(0)?)), first_due: row.try_get(1)? });
    }
    zones.sort_by(|a, b| a.zones.cmp(&b.zones));
    Ok(zones)
}

pub(super) async fn reasons(tx: &Tx, campaign: CampaignId, now: Timestamp) -> Result<Vec<ReasonCount>> {
    campaigns::must_exist(tx, campaign).await?;
    let sql = "SELECT c.status, z.key, c.reason_code, c.due, c.first_due, c.count
        FROM (SELECT status, CASE WHEN status = 0 THEN zone_id END AS zone_id, reason_code, status = 0 AND due_at <= $2 AS due,
                CASE WHEN status = 0 THEN min(due_at) END AS first_due, count(*)
              FROM contacts WHERE owner = $1 GROUP BY 1, 2, 3, 4) c
        LEFT JOIN zones z ON z.id = c.zone_id";
    let rows = tx.query(sql, params![campaign.0, stamp(now)]).await?;
    let mut counts = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut c = Columns::new(row);
        counts.push(ReasonCount {
            status: c.code()?,
            zones: c.shared()?.map_or_else(ZoneKey::unknown, ZoneKey),
            code: c.shared()?,
            due: c.get()?,
            first_due: c.get()?,
            count: unsigned(c.get()?)?,
        });
    }
    counts.sort_by(|a, b| (a.status, &a.zones, &a.code, a.due).cmp(&(b.status, &b.zones, &b.code, b.due)));
    Ok(counts)
}

pub(super) async fn timeline(tx: &Tx, query: &TimelineQuery) -> Result<Vec<TimelineBucket>> {
    campaigns::must_exist(tx, query.campaign).await?;
    let length = i64::from(query.bucket_seconds.max(1));
    // Rounded down in whole microseconds: seconds as a floating point number would move moments near the edge of a bucket.
    let sql = "SELECT floor(extract(epoch FROM finished_at) / $4)::bigint AS bucket, disposition, count(*), sum(duration_seconds)::bigint,
            sum(charged)::bigint
        FROM attempts WHERE campaign_id = $1 AND finished_at >= $2 AND finished_at < $3 AND disposition IS NOT NULL
        GROUP BY bucket, disposition";
    let rows = tx.query(sql, params![query.campaign.0, stamp(query.from), stamp(query.to), length]).await?;
    let mut buckets: BTreeMap<i64, TimelineBucket> = BTreeMap::new();
    for row in &rows {
        let mut c = Columns::new(row);
        let bucket: i64 = c.get()?;
        let start = Timestamp::from_second(bucket.saturating_mul(length)).unwrap_or(Timestamp::MIN);
        let empty = TimelineBucket { start, dispositions: BTreeMap::new(), duration_seconds: 0, cost: Money::ZERO };
        let bucket = buckets.entry(bucket).or_insert(empty);
        bucket.dispositions.insert(c.code::<Disposition>()?, unsigned(c.get()?)?);
        bucket.duration_seconds += unsigned::<u64>(c.get::<Option<i64>>()?.unwrap_or(0))?;
        bucket.cost += Money(c.get::<Option<i64>>()?.unwrap_or(0));
    }
    Ok(buckets.into_values().collect())
}
