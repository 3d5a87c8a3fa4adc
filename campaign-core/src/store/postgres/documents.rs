//! Documents and sequences.

use super::fault::Outcome as Result;
use super::rows::text;
use super::tx::{Tx, params};
use crate::error::{Error, Kind};
use crate::store::codes::unsigned;
use crate::store::{Document, DocumentQuery, PutDocument};

pub(super) async fn put(tx: &Tx, put: &PutDocument) -> Result<u64> {
    let (collection, key) = (text(&put.collection), text(&put.key));
    // Two that put the same key come one after the other, also when there is no row yet to lock.
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' document ' || $1 || ' ' || $2, 0))";
    tx.execute(lock, params![collection, key]).await?;
    let row = tx.query_opt("SELECT revision FROM documents WHERE collection = $1 AND key = $2", params![collection, key]).await?;
    let stored: u64 = unsigned(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))?;
    if put.expected_revision.is_some_and(|expected| expected != stored) {
        let error = Error::new(Kind::Conflict, "the document was changed in between; read it again");
        return Err(error.with("collection", &put.collection).into());
    }
    let document = Document { key: put.key.clone(), value: put.value.clone(), revision: stored + 1 };
    write(tx, &put.collection, &document).await?;
    Ok(document.revision)
}

/// Writes a document as it is.
pub(super) async fn write(tx: &Tx, collection: &str, document: &Document) -> Result<()> {
    tx.execute(
        "INSERT INTO documents (collection, key, value, revision) VALUES ($1, $2, $3, $4)
         ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
        params![text(collection), text(&document.key), serde_json::to_string(&document.value)?, document.revision as i64],
    )
    .await?;
    Ok(())
}

pub(super) async fn list(tx: &Tx, query: &DocumentQuery) -> Result<Vec<Document>> {
    let rows = tx
        .query(
            "SELECT key, value, revision FROM documents
             WHERE collection = $1 AND ($2 IS NULL OR key = $2) AND ($3 IS NULL OR key > $3) ORDER BY key LIMIT $4",
            params![text(&query.collection), query.key.as_deref().map(text), query.after.as_deref().map(text), i64::from(query.limit)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Document { key: row.try_get(0)?, value: serde_json::from_str(row.try_get(1)?)?, revision: unsigned(row.try_get(2)?)? })
        })
        .collect()
}

pub(super) async fn delete(tx: &Tx, collection: &str, key: &str) -> Result<bool> {
    Ok(tx.execute("DELETE FROM documents WHERE collection = $1 AND key = $2", params![text(collection), text(key)]).await? > 0)
}

pub(super) async fn next_number(tx: &Tx, sequence: &str) -> Result<i64> {
    let sql =
        "INSERT INTO sequences AS s (name, value) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = s.value + 1 RETURNING value";
    Ok(tx.query_one(sql, params![text(sequence)]).await?.try_get(0)?)
}
