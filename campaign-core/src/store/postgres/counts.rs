//! The counters of campaigns: moved by whatever moves a contact, in the same transaction, as its last lock but one.

use super::fault::Outcome as Result;
use super::rows::Columns;
use super::tx::{Tx, params};
use crate::contact::ContactStatus;
use crate::error::Error;
use crate::id::{CampaignId, Money};
use crate::policy::metrics::Counts;
use crate::store::tally::CountsDelta;
use futures_util::try_join;
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

    /// Writes them. The rows are locked in the order of ids, so that two transactions never wait for each other. Whatever is sent is sent when
    /// this is first polled, see [`Tx::commit`].
    pub(super) async fn write(self, tx: &Tx) -> Result<()> {
        let campaigns: Vec<i64> = self.0.keys().map(|campaign| campaign.0).collect();
        let lock = async {
            if campaigns.len() > 1 {
                let sql = "SELECT 1 FROM campaign_counts WHERE campaign_id = ANY ($1) ORDER BY campaign_id FOR UPDATE";
                tx.query(sql, params![campaigns]).await?;
            }
            Ok(())
        };
        let add = async {
            if campaigns.is_empty() {
                return Ok(0);
            }
            let all = |of: &dyn Fn(&CountsDelta) -> i64| -> Vec<i64> { self.0.values().map(of).collect() };
            let moved = |status: ContactStatus| all(&|delta| delta.of(status));
            tx.execute(
                "UPDATE campaign_counts c SET pending = c.pending + n.pending, in_progress = c.in_progress + n.in_progress,
                    completed = c.completed + n.completed, failed = c.failed + n.failed, no_answer = c.no_answer + n.no_answer,
                    busy = c.busy + n.busy, voicemail = c.voicemail + n.voicemail, skipped = c.skipped + n.skipped,
                    cancelled = c.cancelled + n.cancelled, call_attempts = c.call_attempts + n.call_attempts,
                    answered_calls = c.answered_calls + n.answered_calls, duration_seconds = c.duration_seconds + n.duration_seconds,
                    cost = c.cost + n.cost
                 FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) AS n (id, pending, in_progress, completed, failed,
                    no_answer, busy, voicemail, skipped, cancelled, call_attempts, answered_calls, duration_seconds, cost)
                 WHERE c.campaign_id = n.id",
                params![
                    campaigns,
                    moved(ContactStatus::Pending),
                    moved(ContactStatus::InProgress),
                    moved(ContactStatus::Completed),
                    moved(ContactStatus::Failed),
                    moved(ContactStatus::NoAnswer),
                    moved(ContactStatus::Busy),
                    moved(ContactStatus::Voicemail),
                    moved(ContactStatus::Skipped),
                    moved(ContactStatus::Cancelled),
                    all(&|delta| delta.call_attempts),
                    all(&|delta| delta.answered_calls),
                    all(&|delta| delta.duration_seconds),
                    all(&|delta| delta.cost.0),
                ],
            )
            .await
        };
        try_join!(lock, add).map(drop)
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
