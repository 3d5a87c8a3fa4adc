//! Ledgers: what claims reserve and settlements give back, per scope.

use super::db::Db;
use super::fault::Outcome as Result;
use super::rows::{ledger, micros};
use crate::policy::limits::{Ledger, LimitScope};
use rusqlite::params;
use std::collections::BTreeMap;

/// The ledger of one scope; an empty one when there is none.
pub(super) fn ledger_of(db: &Db, key: &str) -> Result<Ledger> {
    let mut statement =
        db.conn.prepare_cached("SELECT in_flight, next_slot, day, day_starts, spent, reserved FROM ledgers WHERE scope = ?1")?;
    let mut rows = statement.query([key])?;
    rows.next()?.map_or_else(|| Ok(Ledger::default()), ledger)
}

pub(super) fn write_ledger(db: &Db, key: &str, ledger: &Ledger) -> Result<()> {
    db.conn
        .prepare_cached(
            "INSERT INTO ledgers (scope, in_flight, next_slot, day, day_starts, spent, reserved) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (scope) DO UPDATE SET in_flight = excluded.in_flight, next_slot = excluded.next_slot, day = excluded.day,
                day_starts = excluded.day_starts, spent = excluded.spent, reserved = excluded.reserved",
        )?
        .execute(params![
            key,
            ledger.in_flight,
            ledger.next_slot.map(micros),
            ledger.day.map(|day| day.to_string()),
            ledger.day_starts,
            ledger.spent.0,
            ledger.reserved.0,
        ])?;
    Ok(())
}

/// Ledgers that one request changes: each is read once and written once, however many attempts are settled.
pub(super) struct Ledgers<'a> {
    db: &'a Db,
    loaded: BTreeMap<LimitScope, Ledger>,
}

impl<'a> Ledgers<'a> {
    pub(super) fn new(db: &'a Db) -> Self {
        Self { db, loaded: BTreeMap::new() }
    }

    pub(super) fn get(&mut self, scope: LimitScope) -> Result<&mut Ledger> {
        use std::collections::btree_map::Entry;
        Ok(match self.loaded.entry(scope) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let ledger = ledger_of(self.db, &entry.key().key())?;
                entry.insert(ledger)
            }
        })
    }

    /// Writes all of them.
    pub(super) fn write(self) -> Result<()> {
        for (scope, ledger) in &self.loaded {
            write_ledger(self.db, &scope.key(), ledger)?;
        }
        Ok(())
    }
}
