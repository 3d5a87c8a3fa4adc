//! Campaign records and what happens to them.

use super::fault::Outcome as Result;
use super::filter::Filter;
use super::ledgers::Returns;
use super::rows::{code, text};
use super::tx::{Tx, params};
use super::{contacts, counts, events, ledgers, settle};
use crate::campaign::{CampaignRecord, CampaignStatus, CampaignType, RunState};
use crate::contact::ContactStatus;
use crate::error::{Error, Kind};
use crate::event::Event;
use crate::id::{CampaignId, Money};
use crate::policy::announce;
use crate::policy::limits::{LimitScope, Release};
use crate::store::codes::{Code, unsigned};
use crate::store::{CampaignQuery, NewCampaign, Page, SaveCampaign, SaveGuard};
use std::sync::Arc;
use tokio_postgres::Row;

/// Something a gate depends on has changed.
pub(super) async fn changed(tx: &Tx) -> Result<()> {
    tx.execute("UPDATE store_state SET changes = changes + 1", params![]).await?;
    Ok(())
}

fn record(row: &Row) -> Result<CampaignRecord> {
    Ok(serde_json::from_str(row.try_get(0)?)?)
}

pub(super) async fn create(tx: &Tx, new: &NewCampaign) -> Result<CampaignRecord> {
    let known = "SELECT record FROM campaigns WHERE request_id = $1";
    if let Some(row) = tx.query_opt(known, params![new.request_id]).await? {
        return record(&row);
    }
    let id = CampaignId(contacts::next_ids(tx, "campaign_ids", 1).await?.into_iter().next().unwrap_or_default());
    // Two calls with the same request at once: the second waits here for the first, and then finds its row.
    let inserted = tx
        .execute(
            "INSERT INTO campaigns (id, request_id, revision, status, campaign_type, name, record) VALUES ($1, $2, 0, 0, '', '', '')
             ON CONFLICT (request_id) DO NOTHING",
            params![id.0, new.request_id],
        )
        .await?;
    if inserted == 0 {
        return record(&tx.query_one(known, params![new.request_id]).await?);
    }
    let record = CampaignRecord {
        id,
        spec: Arc::new(new.spec.clone()),
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
    tx.execute("INSERT INTO campaign_counts (campaign_id) VALUES ($1)", params![id.0]).await?;
    write(tx, &record).await?;
    Ok(record)
}

/// Writes a record as it is, whether it is there or not.
pub(super) async fn restore(tx: &Tx, record: &CampaignRecord) -> Result<()> {
    let id = record.id.0;
    tx.execute(
        "INSERT INTO campaigns (id, revision, status, campaign_type, name, record) VALUES ($1, 0, 0, '', '', '') ON CONFLICT DO NOTHING",
        params![id],
    )
    .await?;
    tx.execute("INSERT INTO campaign_counts (campaign_id) VALUES ($1) ON CONFLICT DO NOTHING", params![id]).await?;
    write(tx, record).await
}

async fn write(tx: &Tx, record: &CampaignRecord) -> Result<()> {
    let spec = &record.spec;
    tx.execute(
        "UPDATE campaigns SET revision = $2, status = $3, campaign_type = $4, assistant_id = $5, name = $6, description = $7, record = $8,
            organization = $9
         WHERE id = $1",
        params![
            record.id.0,
            record.revision as i64,
            code(record.status),
            kind(&spec.campaign_type)?,
            spec.assistant_id,
            text(&spec.name),
            spec.description.as_deref().map(text),
            serde_json::to_string(record)?,
            spec.organization,
        ],
    )
    .await?;
    Ok(())
}

/// The kind of a campaign as text; a user's own kind may have the name of a built-in one, so the JSON form tells them apart.
fn kind(kind: &CampaignType) -> Result<String> {
    Ok(text(&serde_json::to_string(kind)?))
}

pub(super) async fn get(tx: &Tx, id: CampaignId) -> Result<Option<CampaignRecord>> {
    tx.query_opt("SELECT record FROM campaigns WHERE id = $1", params![id.0]).await?.map(|row| record(&row)).transpose()
}

/// The record, which nobody else changes until the transaction ends; others may hold it like this at the same time.
pub(super) async fn share(tx: &Tx, id: CampaignId) -> Result<CampaignRecord> {
    let row = tx.query_opt("SELECT record FROM campaigns WHERE id = $1 FOR SHARE", params![id.0]).await?;
    record(&row.ok_or_else(|| Error::not_found("campaign", id))?)
}

pub(super) async fn list(tx: &Tx, query: &CampaignQuery) -> Result<Page<CampaignRecord>> {
    let mut filter = Filter::default();
    filter.any("status", query.statuses.iter().map(|status| status.code()));
    if let Some(of) = &query.campaign_type {
        filter.add("campaign_type = ?", kind(of)?);
    }
    if let Some(organization) = query.organization {
        filter.add("organization = ?", organization);
    }
    if let Some(assistant) = query.assistant_id {
        filter.add("assistant_id = ?", assistant);
    }
    if let Some(search) = &query.search {
        filter.add(
            "(strpos(lower(name COLLATE \"C\"), ?) > 0 OR strpos(lower(description COLLATE \"C\"), ?) > 0)",
            text(&search.to_ascii_lowercase()),
        );
    }
    let total = if query.count { filter.count(tx, "campaigns").await? } else { 0 };
    let rows = filter.page(tx, "record", "campaigns", "id DESC", query.paging).await?;
    Ok(Page { items: rows.iter().map(record).collect::<Result<_>>()?, total })
}

pub(super) async fn save(tx: &Tx, save: &SaveCampaign) -> Result<CampaignRecord> {
    let id = save.record.id;
    // Claims, which hold the row more weakly, go on meanwhile; whoever adds contacts does not.
    let row = tx.query_opt("SELECT record FROM campaigns WHERE id = $1 FOR NO KEY UPDATE", params![id.0]).await?;
    let old = record(&row.ok_or_else(|| Error::not_found("campaign", id))?)?;
    if old.revision != save.expected_revision {
        return Err(Error::new(Kind::Conflict, "the campaign was changed in between; read it again").with("campaign", id).into());
    }
    if let Some(guard) = save.guard {
        let counts = counts::lock(tx, id).await?;
        let refused = match guard {
            SaveGuard::NoOpenContacts if counts.open() > 0 => Some(format!("{} contacts are still pending or in progress", counts.open())),
            SaveGuard::SomePendingContacts if counts.of(ContactStatus::Pending) == 0 => Some("no contact is pending".to_owned()),
            _ => None,
        };
        if let Some(message) = refused {
            return Err(Error::new(Kind::State, message).with("campaign", id).into());
        }
    }
    let mut record = save.record.clone();
    record.revision = old.revision + 1;
    record.updated_at = save.now;
    write(tx, &record).await?;
    let kinds = announce::saved(&old, &record, spent(tx, id).await?);
    changed(tx).await?;
    let told: Vec<Event> = kinds.into_iter().map(|kind| Event { campaign_id: id, at: save.now, kind }).collect();
    events::write(tx, save.now, &told).await?;
    Ok(record)
}

/// Money spent by a campaign over all its runs.
async fn spent(tx: &Tx, campaign: CampaignId) -> Result<Money> {
    Ok(ledgers::read(tx, &[LimitScope::Campaign(campaign)]).await?.first().copied().unwrap_or_default().spent)
}

pub(super) async fn delete(tx: &Tx, id: CampaignId) -> Result<()> {
    // Waits for claims and additions that are under way, and no other begins: both hold this row.
    tx.query("SELECT 1 FROM campaigns WHERE id = $1 FOR UPDATE", params![id.0]).await?;
    let mut returns = Returns::default();
    let open = tx.query(&format!("DELETE FROM open_attempts WHERE campaign_id = $1 RETURNING {}", settle::HELD), params![id.0]).await?;
    for row in &open {
        let held = settle::held(row)?;
        // Whether it was handed over is not known, so its start stays counted.
        returns.add(held.scopes(), held.reserved, held.day, Release::Used(Money::ZERO));
    }
    for sql in [
        "DELETE FROM attempts WHERE campaign_id = $1",
        "DELETE FROM archived_attempts WHERE campaign_id = $1",
        "DELETE FROM run_results WHERE owner = $1",
        "DELETE FROM contacts WHERE owner = $1",
        // After the contacts: until these were ours, others could put them in.
        "DELETE FROM queue WHERE owner = $1",
    ] {
        tx.execute(sql, params![id.0]).await?;
    }
    returns.settle(tx).await?.write(tx).await?;
    tx.execute("DELETE FROM ledgers WHERE scope = $1", params![LimitScope::Campaign(id).key()]).await?;
    tx.execute("DELETE FROM campaign_counts WHERE campaign_id = $1", params![id.0]).await?;
    tx.execute("DELETE FROM campaigns WHERE id = $1", params![id.0]).await?;
    changed(tx).await
}

/// Status and revision.
pub(super) async fn standing(tx: &Tx, id: CampaignId) -> Result<Option<(CampaignStatus, u64)>> {
    standing_with(tx, id, "").await
}

/// The same, and nobody deletes the campaign until the transaction ends; `None`, too, while somebody is about to.
pub(super) async fn hold(tx: &Tx, id: CampaignId) -> Result<Option<(CampaignStatus, u64)>> {
    standing_with(tx, id, "FOR KEY SHARE SKIP LOCKED").await
}

async fn standing_with(tx: &Tx, id: CampaignId, lock: &str) -> Result<Option<(CampaignStatus, u64)>> {
    let row = tx.query_opt(&format!("SELECT status, revision FROM campaigns WHERE id = $1 {lock}"), params![id.0]).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((CampaignStatus::decode(row.try_get::<_, i16>(0)?.into())?, unsigned(row.try_get(1)?)?)))
}

/// [`Kind::NotFound`] when there is no such campaign.
pub(super) async fn must_exist(tx: &Tx, id: CampaignId) -> Result<()> {
    standing(tx, id).await?.map(|_| ()).ok_or_else(|| Error::not_found("campaign", id).into())
}
