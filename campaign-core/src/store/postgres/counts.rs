//! The counters of campaigns: moved by whatever moves a contact, in the same transaction, as its last lock but one.

use super::fault::Outcome as Result;
use super::rows::Columns;
use super::tx::{Tx, params};
use crate::contact::ContactStatus;
use crate::error::Error;
use crate::id::{CampaignId, Money};
use crate::policy::metrics::Counts;
use crate::store::tally::CountsDelta;
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Row;

const COUNTS: &str = "pending, in_progress, completed, failed, no_answer, busy, voicemail, skipped, cancelled, call_attempts, answered_calls, \
    duration_seconds, cost";

/// How counters move in one transaction.
#[derive(Default)]
pub(super) struct Deltas(BTreeMap<CampaignId, CountsDelta>);

impl Deltas {
    pub(super) fn of(&mut self, campaign: CampaignId) -> &mut CountsDelta {
        self.0.entry(campaign).or_default()
    }

    /// Writes them, campaign by campaign in the order of ids, so that two transactions never wait for each other.
    pub(super) async fn write(self, tx: &Tx) -> Result<()> {
        for (campaign, delta) in self.0 {
            let of = |status| delta.of(status);
            tx.execute(
                "UPDATE campaign_counts SET pending = pending + $2, in_progress = in_progress + $3, completed = completed + $4,
                    failed = failed + $5, no_answer = no_answer + $6, busy = busy + $7, voicemail = voicemail + $8,
                    skipped = skipped + $9, cancelled = cancelled + $10, call_attempts = call_attempts + $11,
                    answered_calls = answered_calls + $12, duration_seconds = duration_seconds + $13, cost = cost + $14
                 WHERE campaign_id = $1",
                params![
                    campaign.0,
                    of(ContactStatus::Pending),
                    of(ContactStatus::InProgress),
                    of(ContactStatus::Completed),
                    of(ContactStatus::Failed),
                    of(ContactStatus::NoAnswer),
                    of(ContactStatus::Busy),
                    of(ContactStatus::Voicemail),
                    of(ContactStatus::Skipped),
                    of(ContactStatus::Cancelled),
                    delta.call_attempts,
                    delta.answered_calls,
                    delta.duration_seconds,
                    delta.cost.0,
                ],
            )
            .await?;
        }
        Ok(())
    }
}

fn counts(row: &Row) -> Result<Counts> {
    let mut c = Columns::new(row);
    let mut counts = Counts::default();
    // The columns are in the order of the statuses.
    for status in ContactStatus::ALL {
        let count: u64 = c.large()?;
        if count > 0 {
            counts.by_status.insert(status, count);
        }
    }
    counts.call_attempts = c.large()?;
    counts.answered_calls = c.large()?;
    counts.duration_seconds = c.large()?;
    counts.cost = Money(c.get()?);
    Ok(counts)
}

/// The counters of a campaign.
pub(super) async fn read(tx: &Tx, id: CampaignId) -> Result<Counts> {
    select(tx, id, "").await
}

/// The counters of these campaigns, in their order.
pub(super) async fn read_all(tx: &Tx, campaigns: &[CampaignId]) -> Result<Vec<Counts>> {
    let mut found = select_all(tx, campaigns).await?;
    campaigns.iter().map(|id| found.remove(&id.0).ok_or_else(|| Error::not_found("campaign", id).into())).collect()
}

/// The counters of those of these campaigns that exist, in their order.
pub(super) async fn read_of(tx: &Tx, campaigns: &[CampaignId]) -> Result<Vec<(CampaignId, Counts)>> {
    let found = select_all(tx, campaigns).await?;
    Ok(campaigns.iter().filter_map(|id| Some((*id, found.get(&id.0)?.clone()))).collect())
}

async fn select_all(tx: &Tx, campaigns: &[CampaignId]) -> Result<HashMap<i64, Counts>> {
    let ids: Vec<i64> = campaigns.iter().map(|id| id.0).collect();
    let sql = format!("SELECT {COUNTS}, campaign_id FROM campaign_counts WHERE campaign_id = ANY ($1)");
    let rows = tx.query(&sql, params![ids]).await?;
    rows.iter().map(|row| Ok((row.try_get("campaign_id")?, counts(row)?))).collect()
}

/// The counters of a campaign, which nobody else changes until the transaction ends.
pub(super) async fn lock(tx: &Tx, id: CampaignId) -> Result<Counts> {
    select(tx, id, "FOR UPDATE").await
}

async fn select(tx: &Tx, id: CampaignId, suffix: &str) -> Result<Counts> {
    let row = tx.query_opt(&format!("SELECT {COUNTS} FROM campaign_counts WHERE campaign_id = $1 {suffix}"), params![id.0]).await?;
    counts(&row.ok_or_else(|| Error::not_found("campaign", id))?)
}
