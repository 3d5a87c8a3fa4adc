//! Documents and sequences.

use super::db::Db;
use super::fault::Outcome as Result;
use super::writer::Writer;
use crate::error::{Error, Kind};
use crate::store::codes::unsigned;
use crate::store::{Document, DocumentQuery, PutDocument};
use rusqlite::{OptionalExtension, params};

pub(super) fn put(w: &mut Writer, put: &PutDocument) -> Result<u64> {
    let mut statement = w.db.conn.prepare_cached("SELECT revision FROM documents WHERE collection = ?1 AND key = ?2")?;
    let stored: Option<i64> = statement.query_row([&put.collection, &put.key], |row| row.get(0)).optional()?;
    let stored: u64 = unsigned(stored.unwrap_or(0))?;
    if put.expected_revision.is_some_and(|expected| expected != stored) {
        let error = Error::new(Kind::Conflict, "the document was changed in between; read it again");
        return Err(error.with("collection", &put.collection).into());
    }
    let document = Document { key: put.key.clone(), value: put.value.clone(), revision: stored + 1 };
    write(w, &put.collection, &document)?;
    Ok(document.revision)
}

/// Writes a document as it is.
pub(super) fn write(w: &Writer, collection: &str, document: &Document) -> Result<()> {
    w.db.conn
        .prepare_cached("INSERT OR REPLACE INTO documents (collection, key, value, revision) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![collection, document.key, serde_json::to_string(&document.value)?, document.revision as i64])?;
    Ok(())
}

pub(super) fn list(db: &Db, query: &DocumentQuery) -> Result<Vec<Document>> {
    let mut statement = db.conn.prepare_cached(
        "SELECT key, value, revision FROM documents
         WHERE collection = ?1 AND (?2 IS NULL OR key = ?2) AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
    )?;
    let mut rows = statement.query(params![query.collection, query.key, query.after, query.limit])?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        let value = serde_json::from_str(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
        documents.push(Document { key: row.get(0)?, value, revision: unsigned(row.get(2)?)? });
    }
    Ok(documents)
}

pub(super) fn delete(w: &mut Writer, collection: &str, key: &str) -> Result<bool> {
    let mut statement = w.db.conn.prepare_cached("DELETE FROM documents WHERE collection = ?1 AND key = ?2")?;
    Ok(statement.execute([collection, key])? > 0)
}

pub(super) fn next_number(w: &mut Writer, sequence: &str) -> Result<i64> {
    let mut statement = w.db.conn.prepare_cached(
        "INSERT INTO sequences (name, value) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
    )?;
    Ok(statement.query_row([sequence], |row| row.get(0))?)
}
