//! One connection, and what it remembers of rows that never change.

use super::fault::{Fault, Outcome as Result};
use crate::contact::ZoneKey;
use crate::id::AttemptId;
use crate::store::codes::attempt_key;
use rusqlite::{Connection, OptionalExtension};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use uuid::Uuid;

/// A connection to the store.
pub(super) struct Db {
    pub(super) conn: Connection,
    pub(super) store_id: Uuid,
    zones: RefCell<HashMap<i64, ZoneKey>>,
    zone_ids: RefCell<HashMap<ZoneKey, i64>>,
}

impl Db {
    pub(super) fn new(conn: Connection) -> Result<Self> {
        let text: String = conn.query_row("SELECT store_id FROM store_state", [], |row| row.get(0))?;
        let store_id = Uuid::parse_str(&text).map_err(|_| Fault::damaged("the store's id"))?;
        Ok(Self { conn, store_id, zones: RefCell::default(), zone_ids: RefCell::default() })
    }

    /// The idempotency key of an attempt: unique over all stores.
    pub(super) fn key(&self, attempt: AttemptId) -> Arc<str> {
        attempt_key(self.store_id, attempt)
    }

    /// The zone key with this number.
    pub(super) fn zone(&self, id: i64) -> Result<ZoneKey> {
        if let Some(zone) = self.zones.borrow().get(&id) {
            return Ok(zone.clone());
        }
        let key: Arc<str> = self.conn.prepare_cached("SELECT key FROM zones WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
        let zone = ZoneKey(key);
        self.zones.borrow_mut().insert(id, zone.clone());
        Ok(zone)
    }

    /// The number of a zone key that some contact has or had.
    pub(super) fn zone_id(&self, zone: &ZoneKey) -> Result<Option<i64>> {
        if let Some(id) = self.zone_ids.borrow().get(zone) {
            return Ok(Some(*id));
        }
        let id = self.conn.prepare_cached("SELECT id FROM zones WHERE key = ?1")?.query_row([&zone.0], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.zone_ids.borrow_mut().insert(zone.clone(), id);
        }
        Ok(id)
    }

    /// Forgets what it remembers: it may have been rolled back.
    pub(super) fn forget(&self) {
        self.zones.borrow_mut().clear();
        self.zone_ids.borrow_mut().clear();
    }

    /// Runs `read` on one snapshot of the store.
    pub(super) fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let transaction = self.conn.unchecked_transaction()?;
        let result = read(self)?;
        transaction.commit()?;
        Ok(result)
    }
}
