//! Numbers of zone keys. They are never changed or removed, so each process remembers them; a new one is stored by itself, because
//! what a transaction that fails had stored must not be remembered.

use super::fault::Outcome as Result;
use super::tx::{Tx, params};
use crate::contact::ZoneKey;
use crate::store::codes::damaged;
use parking_lot::RwLock;
use std::collections::{BTreeSet, HashMap};

/// The numbers this process knows.
#[derive(Default)]
pub(super) struct Zones(RwLock<HashMap<ZoneKey, i32>>);

/// The numbers of the zones of one call.
#[derive(Default)]
pub(super) struct ZoneIds(HashMap<ZoneKey, i32>);

impl ZoneIds {
    /// The number of a zone that was asked for.
    pub(super) fn of(&self, zone: &ZoneKey) -> Result<i32> {
        Ok(self.0.get(zone).copied().ok_or_else(|| damaged("a zone without a number"))?)
    }

    /// The number of a zone, when it has one.
    pub(super) fn get(&self, zone: &ZoneKey) -> Option<i32> {
        self.0.get(zone).copied()
    }
}

impl Zones {
    /// What is known of these zones, and which are not.
    pub(super) fn known<'a>(&self, zones: impl IntoIterator<Item = &'a ZoneKey>) -> (ZoneIds, BTreeSet<String>) {
        let known = self.0.read();
        let mut ids = ZoneIds::default();
        let mut unknown = BTreeSet::new();
        for zone in zones {
            match known.get(zone) {
                Some(id) => {
                    ids.0.insert(zone.clone(), *id);
                }
                None => {
                    unknown.insert(zone.0.to_string());
                }
            }
        }
        (ids, unknown)
    }

    /// Remembers what a committed transaction found.
    pub(super) fn learn(&self, ids: &mut ZoneIds, found: Vec<(ZoneKey, i32)>) {
        let mut known = self.0.write();
        for (zone, id) in found {
            known.insert(zone.clone(), id);
            ids.0.insert(zone, id);
        }
    }
}

/// Looks numbers up; with `make`, gives one to those that have none.
pub(super) async fn look_up(tx: &Tx, keys: &[String], make: bool) -> Result<Vec<(ZoneKey, i32)>> {
    let keys = keys.to_vec();
    if make {
        // An existing key takes a number of the sequence, too; only new keys come here, so that is seldom.
        tx.execute("INSERT INTO zones (key) SELECT unnest($1) ORDER BY 1 ON CONFLICT DO NOTHING", params![keys]).await?;
    }
    let rows = tx.query("SELECT key, id FROM zones WHERE key = ANY ($1)", params![keys]).await?;
    rows.iter().map(|row| Ok((ZoneKey(row.try_get::<_, &str>(0)?.into()), row.try_get(1)?))).collect()
}
