//! Nodes: leases, fencing tokens, and what the dead leave behind.

use super::db::Db;
use super::fault::Outcome as Result;
use super::rows::{micros, moment};
use super::writer::Writer;
use super::{contacts, read};
use crate::error::{Error, Kind};
use crate::id::{AttemptId, NodeId, NodeToken};
use crate::outcome::Attempt;
use crate::store::codes::unsigned;
use crate::store::{NewNode, NodeInfo, NodeLease, RenewNode, TakeOver, TakenOver};
use jiff::Timestamp;
use rusqlite::params;
use std::sync::Arc;

pub(super) fn register(w: &mut Writer, new: NewNode) -> Result<NodeLease> {
    // Nodes that are gone and hold nothing are of no use to anybody.
    w.db.conn
        .prepare_cached(
            "DELETE FROM nodes WHERE (expires_at IS NULL OR expires_at <= ?1)
                AND NOT EXISTS (SELECT 1 FROM attempts WHERE node_id = nodes.id AND finished_at IS NULL)",
        )?
        .execute([micros(new.now)])?;
    w.counters.epoch += 1;
    let token = NodeToken { node: NodeId(w.counters.epoch), epoch: w.counters.epoch };
    let expires_at = new.now.saturating_add(new.lease).unwrap_or(Timestamp::MAX);
    w.db.conn
        .prepare_cached("INSERT INTO nodes (id, epoch, name, started_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![token.node.0, token.epoch, new.name, micros(new.now), micros(expires_at)])?;
    Ok(NodeLease { token, store_id: w.db.store_id, expires_at, now: new.now })
}

pub(super) fn renew(w: &mut Writer, renew: RenewNode) -> Result<()> {
    let expires_at = renew.now.saturating_add(renew.lease).unwrap_or(Timestamp::MAX);
    let renewed = w
        .db
        .conn
        .prepare_cached("UPDATE nodes SET expires_at = ?4 WHERE id = ?1 AND epoch = ?2 AND expires_at > ?3")?
        .execute(params![renew.token.node.0, renew.token.epoch, micros(renew.now), micros(expires_at)])?;
    if renewed == 1 { Ok(()) } else { Err(stale(renew.token).into()) }
}

pub(super) fn retire(w: &mut Writer, token: NodeToken) -> Result<()> {
    w.db.conn.prepare_cached("UPDATE nodes SET expires_at = NULL WHERE id = ?1 AND epoch = ?2")?.execute([token.node.0, token.epoch])?;
    Ok(())
}

fn stale(token: NodeToken) -> Error {
    Error::new(Kind::Stale, "the node's lease has run out; register it anew").with("node", token.node)
}

/// Refuses a node whose lease has run out.
pub(super) fn check_lease(db: &Db, token: NodeToken, now: Timestamp) -> Result<()> {
    let mut statement = db.conn.prepare_cached("SELECT 1 FROM nodes WHERE id = ?1 AND epoch = ?2 AND expires_at > ?3")?;
    if statement.exists(params![token.node.0, token.epoch, micros(now)])? { Ok(()) } else { Err(stale(token).into()) }
}

pub(super) fn live(db: &Db, now: Timestamp) -> Result<Vec<NodeInfo>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT id, name, started_at, expires_at, (SELECT count(*) FROM attempts WHERE node_id = nodes.id AND finished_at IS NULL)
         FROM nodes WHERE expires_at > ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([micros(now)])?;
    let mut nodes = Vec::new();
    while let Some(row) = rows.next()? {
        nodes.push(NodeInfo {
            id: NodeId(row.get(0)?),
            name: row.get(1)?,
            started_at: moment(row.get(2)?)?,
            expires_at: moment(row.get(3)?)?,
            in_flight: unsigned(row.get(4)?)?,
        });
    }
    Ok(nodes)
}

/// Open attempts of nodes that are gone, and were gone long enough ago. CROSS keeps SQLite from walking the attempts of the living.
pub(super) const DEAD: &str = "SELECT a.id FROM nodes n CROSS JOIN attempts a INDEXED BY attempts_open ON a.node_id = n.id
    WHERE a.finished_at IS NULL AND (n.expires_at IS NULL OR n.expires_at <= ?1) AND a.not_after <= ?2 ORDER BY a.id LIMIT ?3";

pub(super) fn take_over(w: &mut Writer, request: &TakeOver) -> Result<Vec<TakenOver>> {
    check_lease(&w.db, request.token, request.now)?;
    if let Some(ids) = w.memo.taken(request.request_id) {
        let ids = Arc::clone(ids);
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids.iter() {
            // What was given back since has left no trace.
            let attempt = read::attempt(&w.db, *id)?;
            if let Some(attempt) = attempt.filter(|attempt| attempt.state.is_open() && attempt.claimed_by == request.token) {
                taken.push(taken_over(w, attempt)?);
            }
        }
        return Ok(taken);
    }
    let now = micros(request.now);
    let long_ago = micros(request.now.saturating_sub(request.quarantine).unwrap_or(Timestamp::MIN));
    // A lease that ends this very moment is over, whatever the quarantine.
    let dead = now.min(long_ago);
    let mut statement = w.db.conn.prepare_cached(DEAD)?;
    let mut rows = statement.query(params![dead, long_ago, request.limit])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(AttemptId(row.get(0)?));
    }
    drop(rows);
    drop(statement);
    let mut taken = Vec::with_capacity(ids.len());
    for id in ids {
        w.db.conn.prepare_cached("UPDATE attempts SET node_id = ?2, epoch = ?3 WHERE id = ?1")?.execute([
            id.0,
            request.token.node.0,
            request.token.epoch,
        ])?;
        let attempt = read::must_get_attempt(&w.db, id)?;
        taken.push(taken_over(w, attempt)?);
    }
    if !taken.is_empty() {
        w.memo.keep_taken(request.request_id, taken.iter().map(|taken| taken.attempt.id).collect());
        w.changed();
    }
    Ok(taken)
}

fn taken_over(w: &Writer, attempt: Attempt) -> Result<TakenOver> {
    let contact = contacts::get(&w.db, attempt.contact)?.ok_or_else(|| Error::not_found("contact", attempt.contact))?;
    Ok(TakenOver { history: read::history(&w.db, &contact)?, attempt, contact })
}

/// Makes sure that a node a restored attempt belongs to is known, as one that is gone, and that no later token is mistaken for it.
pub(super) fn restore_gone(w: &mut Writer, token: NodeToken) -> Result<()> {
    w.counters.epoch = w.counters.epoch.max(token.epoch).max(token.node.0);
    w.db.conn
        .prepare_cached("INSERT INTO nodes (id, epoch, name, started_at) VALUES (?1, ?2, '', 0) ON CONFLICT DO NOTHING")?
        .execute([token.node.0, token.epoch])?;
    Ok(())
}
