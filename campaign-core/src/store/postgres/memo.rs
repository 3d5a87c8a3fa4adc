//! Answers of calls that may be repeated because theirs was lost. Written by the transaction that answers, so an answer is there
//! exactly when its effects are, on whatever node and connection the call is repeated.

use super::fault::Outcome as Result;
use super::tx::{Tx, params};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub(super) async fn find<T: DeserializeOwned>(tx: &Tx, request: Uuid) -> Result<Option<T>> {
    let row = tx.query_opt("SELECT answer FROM requests WHERE id = $1", params![request]).await?;
    row.map(|row| Ok(serde_json::from_str(row.try_get(0)?)?)).transpose()
}

pub(super) async fn keep<T: Serialize>(tx: &Tx, request: Uuid, answer: &T) -> Result<()> {
    let answer = serde_json::to_string(answer)?;
    tx.execute("INSERT INTO requests (id, answer) VALUES ($1, $2)", params![request, answer]).await?;
    Ok(())
}

/// Removes some of the answers nobody waits for any more.
pub(super) async fn forget(tx: &Tx, before: Timestamp) -> Result<()> {
    tx.execute(
        "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE at < $1 ORDER BY at LIMIT 1000 FOR UPDATE SKIP LOCKED)",
        params![super::rows::stamp(before)],
    )
    .await?;
    Ok(())
}
