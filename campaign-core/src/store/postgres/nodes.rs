//! Nodes: leases, fencing tokens, and what the dead leave behind. All moments are the database's.

use super::fault::Outcome as Result;
use super::rows::{self, ATTEMPT, Columns, stamp, text};
use super::tx::{Tx, params};
use super::{campaigns, contacts, events, memo, read};
use crate::contact::Contact;
use crate::error::{Error, Kind};
use crate::id::{NodeId, NodeToken};
use crate::store::codes::unsigned;
use crate::store::{NewNode, NodeInfo, NodeLease, RenewNode, TakeOver, TakenOver};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;

/// How long the answers of calls are kept for their repetition. Callers repeat within seconds.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

pub(super) async fn register(tx: &Tx, new: &NewNode) -> Result<NodeLease> {
    let now = tx.now(new.now).await?;
    // Nodes that are gone and hold nothing are of no use to anybody.
    tx.execute(
        "DELETE FROM nodes n WHERE (expires_at IS NULL OR expires_at <= $1)
            AND NOT EXISTS (SELECT 1 FROM open_attempts WHERE node_id = n.id)",
        params![now],
    )
    .await?;
    let epoch: i64 = tx.query_one("SELECT nextval('node_epochs')", params![]).await?.try_get(0)?;
    let token = NodeToken { node: NodeId(epoch), epoch };
    let expires_at = now.saturating_add(new.lease).unwrap_or(Timestamp::MAX);
    tx.execute(
        "INSERT INTO nodes (id, epoch, name, started_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        params![token.node.0, token.epoch, text(&new.name), now, expires_at],
    )
    .await?;
    Ok(NodeLease { token, store_id: tx.store_id(), expires_at, now })
}

pub(super) async fn renew(tx: &Tx, renew: &RenewNode) -> Result<()> {
    let now = tx.now(renew.now).await?;
    let expires_at = now.saturating_add(renew.lease).unwrap_or(Timestamp::MAX);
    let renewed = tx
        .execute(
            "UPDATE nodes SET expires_at = $4 WHERE id = $1 AND epoch = $2 AND expires_at > $3",
            params![renew.token.node.0, renew.token.epoch, now, expires_at],
        )
        .await?;
    if renewed == 0 {
        return Err(stale(renew.token).into());
    }
    Ok(())
}

/// Removes some of what nobody will ask for any more. Somebody has to, and heartbeats come round every few seconds; but in a transaction
/// of its own, because a lease must not be lost over it.
pub(super) async fn tidy(tx: &Tx, now: Timestamp) -> Result<()> {
    let now = tx.now(now).await?;
    memo::forget(tx, now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN)).await?;
    if let Some(kept) = tx.options().keep_events {
        let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
        events::forget(tx, now.saturating_sub(kept).unwrap_or(Timestamp::MIN)).await?;
    }
    Ok(())
}

pub(super) async fn retire(tx: &Tx, token: NodeToken) -> Result<()> {
    tx.execute("UPDATE nodes SET expires_at = NULL WHERE id = $1 AND epoch = $2", params![token.node.0, token.epoch]).await?;
    Ok(())
}

fn stale(token: NodeToken) -> Error {
    Error::new(Kind::Stale, "the node's lease has run out; register it anew").with("node", token.node)
}

/// Refuses a node whose lease has run out.
pub(super) async fn check_lease(tx: &Tx, token: NodeToken, now: Timestamp) -> Result<()> {
    let expires_at = lease(tx, token).await?;
    in_lease(token, expires_at, now)
}

/// When the lease of a node ends; `None` when it was retired or has begun another.
pub(super) async fn lease(tx: &Tx, token: NodeToken) -> Result<Option<Timestamp>> {
    let sql = "SELECT expires_at FROM nodes WHERE id = $1 AND epoch = $2";
    match tx.query_opt(sql, params![token.node.0, token.epoch]).await? {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}

/// Refuses a node whose lease has ended.
pub(super) fn in_lease(token: NodeToken, expires_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if expires_at.is_some_and(|at| at > now) { Ok(()) } else { Err(stale(token).into()) }
}

pub(super) async fn live(tx: &Tx, now: Timestamp) -> Result<Vec<NodeInfo>> {
    let now = tx.now(now).await?;
    let sql = "SELECT id, name, started_at, expires_at, (SELECT count(*) FROM open_attempts WHERE node_id = n.id) FROM nodes n
        WHERE expires_at > $1 ORDER BY id";
    let rows = tx.query(sql, params![now]).await?;
    rows.iter()
        .map(|row| {
            let mut c = Columns::new(row);
            Ok(NodeInfo {
                id: NodeId(c.get()?),
                name: c.get()?,
                started_at: c.get()?,
                expires_at: c.get()?,
                in_flight: unsigned(c.get()?)?,
            })
        })
        .collect()
}

pub(super) async fn take_over(tx: &Tx, request: &TakeOver) -> Result<Vec<TakenOver>> {
    let now = tx.now(request.now).await?;
    check_lease(tx, request.token, now).await?;
    // A call that was given up while it committed is waited for; then its answer is there.
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('campaign request ' || $1::text, 0))", params![request.request_id]).await?;
    if let Some(ids) = memo::find::<Vec<i64>>(tx, request.request_id).await? {
        return taken_over(tx, request.token, ids).await;
    }
    let long_ago = stamp(now.saturating_sub(request.quarantine).unwrap_or(Timestamp::MIN));
    // A lease that ends this very moment is over, whatever the quarantine. A node that is not known any more is gone, too: its claim may
    // have been committed while it was forgotten. What another node is taking over is passed by.
    let sql = "UPDATE open_attempts SET node_id = $4, epoch = $5 WHERE id IN (
            SELECT a.id FROM open_attempts a LEFT JOIN nodes n ON n.id = a.node_id
            WHERE (n.id IS NULL OR n.expires_at IS NULL OR n.expires_at <= $1) AND a.not_after <= $2
                AND EXISTS (SELECT 1 FROM contacts WHERE id = a.contact_id)
            ORDER BY a.id LIMIT $3 FOR UPDATE OF a SKIP LOCKED)
         RETURNING id";
    let (dead, limit) = (now.min(long_ago), i64::from(request.limit));
    let taken = tx.query(sql, params![dead, long_ago, limit, request.token.node.0, request.token.epoch]).await?;
    let ids: Vec<i64> = taken.iter().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>()?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    memo::keep(tx, request.request_id, &ids).await?;
    campaigns::changed(tx).await?;
    taken_over(tx, request.token, ids).await
}

/// Those of these attempts that are open and held under this token, with their contacts.
async fn taken_over(tx: &Tx, token: NodeToken, ids: Vec<i64>) -> Result<Vec<TakenOver>> {
    let rows = tx.query(&format!("SELECT {ATTEMPT} FROM all_attempts WHERE id = ANY ($1) ORDER BY id"), params![ids]).await?;
    let mut attempts = rows::attempts(tx.store_id(), &rows)?;
    attempts.retain(|attempt| attempt.state.is_open() && attempt.claimed_by == token);
    let of: Vec<i64> = attempts.iter().map(|attempt| attempt.contact.0).collect();
    let contacts: Vec<Contact> = contacts::by_ids(tx, &of).await?;
    let mut histories = read::histories(tx, &contacts).await?;
    let contacts: HashMap<_, _> = contacts.into_iter().map(|contact| (contact.id, contact)).collect();
    attempts
        .into_iter()
        .map(|attempt| {
            let contact = contacts.get(&attempt.contact).cloned().ok_or_else(|| Error::not_found("contact", attempt.contact))?;
            Ok(TakenOver { history: histories.remove(&contact.id).unwrap_or_default(), attempt, contact })
        })
        .collect()
}

/// Makes sure that the nodes restored attempts belong to are known, as ones that are gone.
pub(super) async fn restore_gone(tx: &Tx, tokens: &[NodeToken]) -> Result<()> {
    let (nodes, epochs): (Vec<i64>, Vec<i64>) = tokens.iter().map(|token| (token.node.0, token.epoch)).unzip();
    tx.execute(
        "INSERT INTO nodes (id, epoch, name, started_at) SELECT DISTINCT id, epoch, '', 'epoch'::timestamptz
         FROM unnest($1, $2) AS t (id, epoch) ON CONFLICT DO NOTHING",
        params![nodes, epochs],
    )
    .await?;
    Ok(())
}
