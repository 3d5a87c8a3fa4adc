//! The stream of events: nothing is written for it but a place in the order of commits. Claims and settlements are read from the
//! attempts, changes of campaigns from a small table, and the three are merged by that place.

use super::db::Db;
use super::fault::Outcome as Result;
use super::rows::moment;
use crate::contact::ContactStatus;
use crate::event::{ContactEnded, Event, EventKind};
use crate::id::{AttemptId, CampaignId, ContactId, Money};
use crate::outcome::{Channel, Disposition};
use crate::store::codes::Code;
use crate::store::codes::unsigned;
use crate::store::{EventCursor, EventPage, EventQuery};
use rusqlite::{Row, params};

/// One event with its place in the order, and its place in its own stream.
struct Placed {
    seq: i64,
    key: i64,
    event: Event,
}

pub(super) const CLAIMED: &str = "SELECT claimed_seq, id, campaign_id, claimed_at, contact_id, id, channel FROM attempts
    WHERE id > ?1 AND (?2 IS NULL OR campaign_id = ?2) AND claimed_seq IS NOT NULL ORDER BY id LIMIT ?3";
pub(super) const SETTLED: &str =
    "SELECT settled_seq, settled_seq, campaign_id, finished_at, contact_id, id, channel, disposition, status_after,
        duration_seconds, charged
    FROM attempts INDEXED BY attempts_settled WHERE settled_seq > ?1 AND (?2 IS NULL OR campaign_id = ?2) ORDER BY settled_seq LIMIT ?3";
const SAVED: &str = "SELECT seq, seq, campaign_id, at, kind FROM campaign_events
    WHERE seq > ?1 AND (?2 IS NULL OR campaign_id = ?2) ORDER BY seq LIMIT ?3";

pub(super) fn events(db: &Db, query: &EventQuery) -> Result<EventPage> {
    let mut newest = db.conn.prepare_cached("SELECT last_attempt, seq FROM store_state")?;
    let newest: EventCursor =
        newest.query_row([], |row| Ok(EventCursor { claimed: row.get(0)?, settled: row.get(1)?, saved: row.get(1)? }))?;
    let Some(after) = query.after else {
        return Ok(EventPage { events: Vec::new(), next: newest, more: false });
    };
    let limit = query.limit as usize;
    let mut next = newest;
    // A stream is read one further than asked for, to know whether more is there.
    let streams = [
        stream(db, CLAIMED, after.claimed, query, started)?,
        stream(db, SETTLED, after.settled, query, ended)?,
        stream(db, SAVED, after.saved, query, changed)?,
    ];
    let starts = [after.claimed, after.settled, after.saved];
    let ends = [&mut next.claimed, &mut next.settled, &mut next.saved];
    let mut all: Vec<(usize, Placed)> =
        streams.into_iter().enumerate().flat_map(|(index, stream)| stream.into_iter().map(move |placed| (index, placed))).collect();
    all.sort_by_key(|(_, placed)| placed.seq);
    let more = all.len() > limit;
    if more {
        // Nothing behind the page counts as seen: each stream goes on behind its last event of the page.
        for (index, (end, start)) in ends.into_iter().zip(starts).enumerate() {
            let last = all[..limit].iter().rev().find(|(of, _)| *of == index);
            *end = last.map_or(start, |(_, placed)| placed.key);
        }
        all.truncate(limit);
    }
    Ok(EventPage { events: all.into_iter().map(|(_, placed)| placed.event).collect(), next, more })
}

fn stream(db: &Db, sql: &str, after: i64, query: &EventQuery, kind: fn(&Row<'_>) -> Result<EventKind>) -> Result<Vec<Placed>> {
    let mut statement = db.conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![after, query.campaign.map(|id| id.0), i64::from(query.limit) + 1])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let event = Event { campaign_id: CampaignId(row.get(2)?), at: moment(row.get(3)?)?, kind: kind(row)? };
        found.push(Placed { seq: row.get(0)?, key: row.get(1)?, event });
    }
    Ok(found)
}

fn started(row: &Row<'_>) -> Result<EventKind> {
    Ok(EventKind::ContactStarted {
        contact_id: ContactId(row.get(4)?),
        attempt_id: AttemptId(row.get(5)?),
        channel: Channel::decode(row.get(6)?)?,
    })
}

fn ended(row: &Row<'_>) -> Result<EventKind> {
    let ended = ContactEnded {
        contact_id: ContactId(row.get(4)?),
        attempt_id: AttemptId(row.get(5)?),
        channel: Channel::decode(row.get(6)?)?,
        disposition: Disposition::decode(row.get(7)?)?,
        status: ContactStatus::decode(row.get(8)?)?,
        duration_seconds: unsigned(row.get(9)?)?,
        cost: Money(row.get(10)?),
    };
    Ok(if ended.disposition.is_success() { EventKind::ContactCompleted(ended) } else { EventKind::ContactFailed(ended) })
}

fn changed(row: &Row<'_>) -> Result<EventKind> {
    Ok(serde_json::from_str(row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?)?)
}
