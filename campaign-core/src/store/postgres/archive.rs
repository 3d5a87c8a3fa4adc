//! Keeping the tables small: history that nobody decides by any more goes into a table of its own.

use super::fault::Outcome as Result;
use super::rows::{code, stamp};
use super::tx::{Tx, params};
use crate::campaign::CampaignStatus;
use jiff::Timestamp;

/// Moves up to `limit` attempts of campaigns that have ended, themselves ended before `before`, and returns how many.
pub(super) async fn archive(tx: &Tx, before: Timestamp, limit: u32) -> Result<u64> {
    let over: Vec<i16> = [CampaignStatus::Completed, CampaignStatus::Cancelled, CampaignStatus::Failed].map(code).to_vec();
    let moved = tx
        .execute(
            "WITH gone AS (
                DELETE FROM attempts WHERE id IN (
                    SELECT a.id FROM attempts a JOIN campaigns c ON c.id = a.campaign_id
                    WHERE a.finished_at < $1 AND c.status = ANY ($2) ORDER BY a.id LIMIT $3 FOR UPDATE OF a SKIP LOCKED)
                RETURNING *)
             INSERT INTO archived_attempts SELECT * FROM gone",
            params![stamp(before), over, i64::from(limit)],
        )
        .await?;
    Ok(moved)
}
