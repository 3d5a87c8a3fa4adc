//! The stream of events: one row per transaction, with a place that follows the order of commits.
//!
//! The place is taken from a locked row as the last thing a transaction does, so a reader that has seen one place has seen all
//! before it. [`EventCursor::claimed`] is the last place read whole, [`EventCursor::settled`] how many events of the next one.

use super::fault::Outcome as Result;
use super::tx::{Tx, params};
use crate::event::Event;
use crate::store::{EventCursor, EventPage, EventQuery};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Reads of sixteen rows in one call.
const ROUNDS: usize = 64;

/// Writes the events of a transaction; nothing else may be locked after it.
pub(super) async fn write(tx: &Tx, at: Timestamp, events: &[Event]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let body = serde_json::to_string(events)?;
    tx.execute(
        "WITH place AS (UPDATE event_place SET last = last + 1 RETURNING last)
         INSERT INTO events (place, at, body) SELECT last, $1, $2 FROM place",
        params![at, body],
    )
    .await?;
    Ok(())
}

/// Removes some of what is older than anybody reads; what another node is removing is passed by.
pub(super) async fn forget(tx: &Tx, before: Timestamp) -> Result<()> {
    tx.execute(
        "DELETE FROM events WHERE place IN (SELECT place FROM events WHERE at < $1 ORDER BY place LIMIT 1000 FOR UPDATE SKIP LOCKED)",
        params![super::rows::stamp(before)],
    )
    .await?;
    Ok(())
}

pub(super) async fn read(tx: &Tx, query: &EventQuery) -> Result<EventPage> {
    let Some(after) = query.after else {
        let last = tx.query_one("SELECT last FROM event_place", params![]).await?.try_get(0)?;
        return Ok(EventPage { events: Vec::new(), next: EventCursor { claimed: last, ..EventCursor::default() }, more: false });
    };
    let limit = query.limit as usize;
    let mut page = EventPage { events: Vec::new(), next: after, more: false };
    // Bounded, also when nothing is found for a campaign: the caller goes on from where this ends.
    for _ in 0..ROUNDS {
        let rows = tx.query("SELECT place, body FROM events WHERE place > $1 ORDER BY place LIMIT 16", params![page.next.claimed]).await?;
        let last = rows.len() < 16;
        for row in rows {
            let mut events: Vec<Event> = serde_json::from_str(row.try_get(1)?)?;
            let skip = usize::try_from(page.next.settled).unwrap_or(0).min(events.len());
            for (index, event) in events.drain(..).enumerate().skip(skip) {
                if query.campaign.is_some_and(|campaign| campaign != event.campaign_id) {
                    continue;
                }
                if page.events.len() == limit {
                    page.more = true;
                    page.next.settled = index as i64;
                    return without_deleted(tx, page).await;
                }
                page.events.push(event);
            }
            page.next = EventCursor { claimed: row.try_get(0)?, ..EventCursor::default() };
        }
        if last {
            return without_deleted(tx, page).await;
        }
    }
    page.more = true;
    without_deleted(tx, page).await
}

/// Events of campaigns that were deleted since are nobody's business any more.
async fn without_deleted(tx: &Tx, mut page: EventPage) -> Result<EventPage> {
    let campaigns: BTreeSet<i64> = page.events.iter().map(|event| event.campaign_id.0).collect();
    let campaigns: Vec<i64> = campaigns.into_iter().collect();
    let rows = tx.query("SELECT id FROM campaigns WHERE id = ANY ($1)", params![campaigns]).await?;
    let there: BTreeSet<i64> = rows.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
    page.events.retain(|event| there.contains(&event.campaign_id.0));
    Ok(page)
}
