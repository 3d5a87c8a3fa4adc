//! Ledgers: what claims reserve and settlements give back, per scope.
//!
//! A transaction locks every ledger it is going to change before it reads one, in the order of their keys, so that two never wait
//! for each other. That lock is what makes limits exact over all nodes.

use super::fault::Outcome as Result;
use super::rows;
use super::tx::{Tx, params};
use crate::id::{CampaignId, Money};
use crate::policy::limits::{Ledger, LimitScope, Release};
use crate::store::codes::scopes_of;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ledgers of a transaction, locked until it ends.
#[derive(Default)]
pub(super) struct Ledgers {
    held: BTreeMap<String, Ledger>,
}

impl Ledgers {
    /// Locks and reads the ledgers of these scopes; those that were never written are made first.
    pub(super) async fn lock(tx: &Tx, scopes: impl IntoIterator<Item = LimitScope>) -> Result<Self> {
        let keys = keys(scopes);
        loop {
            match Self::lock_all(tx, &keys).await? {
                Some(ledgers) => return Ok(ledgers),
                None => make(tx, &keys).await?,
            }
        }
    }

    /// As [`Ledgers::lock`], in one statement: `None` when some have to be made first.
    pub(super) async fn lock_all(tx: &Tx, keys: &Vec<String>) -> Result<Option<Self>> {
        let sql = format!("SELECT {} FROM ledgers WHERE scope = ANY ($1) ORDER BY scope FOR UPDATE", rows::LEDGER);
        let found = tx.query(&sql, params![*keys]).await?;
        if found.len() < keys.len() {
            return Ok(None);
        }
        Ok(Some(Self { held: found.iter().map(rows::ledger).collect::<Result<_>>()? }))
    }

    /// The ledger of a scope.
    pub(super) fn get(&mut self, scope: &LimitScope) -> &mut Ledger {
        self.held.entry(scope.key()).or_default()
    }

    /// Writes all of them.
    pub(super) async fn write(&self, tx: &Tx) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let (mut scopes, mut in_flight, mut next_slots, mut days) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut day_starts, mut spent, mut reserved) = (Vec::new(), Vec::new(), Vec::new());
        for (scope, ledger) in &self.held {
            scopes.push(scope.as_str());
            in_flight.push(i32::try_from(ledger.in_flight).unwrap_or(i32::MAX));
            next_slots.push(ledger.next_slot);
            days.push(ledger.day);
            day_starts.push(i32::try_from(ledger.day_starts).unwrap_or(i32::MAX));
            spent.push(ledger.spent.0);
            reserved.push(ledger.reserved.0);
        }
        tx.execute(
            "UPDATE ledgers l SET in_flight = n.in_flight, next_slot = n.next_slot, day = n.day, day_starts = n.day_starts,
                spent = n.spent, reserved = n.reserved
             FROM unnest($1, $2, $3, $4, $5, $6, $7) AS n (scope, in_flight, next_slot, day, day_starts, spent, reserved)
             WHERE l.scope = n.scope",
            params![scopes, in_flight, next_slots, days, day_starts, spent, reserved],
        )
        .await?;
        Ok(())
    }
}

/// The keys of scopes, each once, in the order in which ledgers are locked.
pub(super) fn keys(scopes: impl IntoIterator<Item = LimitScope>) -> Vec<String> {
    let keys: BTreeSet<String> = scopes.into_iter().map(|scope| scope.key()).collect();
    keys.into_iter().collect()
}

/// Makes ledgers that were never written: without a row there is nothing to lock, and two nodes would both begin from nothing.
pub(super) async fn make(tx: &Tx, keys: &Vec<String>) -> Result<()> {
    tx.execute("INSERT INTO ledgers (scope) SELECT unnest($1) ORDER BY 1 ON CONFLICT DO NOTHING", params![*keys]).await?;
    Ok(())
}

/// What names the ledgers of an attempt: its campaign, account and caller.
type Scopes = (CampaignId, Option<Arc<str>>, Option<Arc<str>>);

/// What a batch gives back: many attempts share few ledgers.
#[derive(Default)]
pub(super) struct Returns {
    groups: BTreeMap<Scopes, Vec<(Money, Option<Date>, Release)>>,
}

impl Returns {
    pub(super) fn add(&mut self, scopes: Scopes, reserved: Money, day: Option<Date>, release: Release) {
        self.groups.entry(scopes).or_default().push((reserved, day, release));
    }

    /// Gives it back, in ledgers that are locked and not written yet.
    pub(super) async fn settle(self, tx: &Tx) -> Result<Ledgers> {
        let scopes: BTreeSet<LimitScope> = self
            .groups
            .keys()
            .flat_map(|(campaign, account, caller)| scopes_of(*campaign, account.as_deref(), caller.as_deref()))
            .collect();
        let mut ledgers = Ledgers::lock(tx, scopes).await?;
        for ((campaign, account, caller), returned) in self.groups {
            for scope in scopes_of(campaign, account.as_deref(), caller.as_deref()) {
                // Money is reserved in the campaign's ledger only.
                let of_campaign = matches!(scope, LimitScope::Campaign(_));
                let ledger = ledgers.get(&scope);
                for &(reserved, day, release) in &returned {
                    ledger.settle(if of_campaign { reserved } else { Money::ZERO }, day, release);
                }
            }
        }
        Ok(ledgers)
    }
}

/// Ledgers of these scopes, in that order, without a lock.
pub(super) async fn read(tx: &Tx, scopes: &[LimitScope]) -> Result<Vec<Ledger>> {
    let keys: Vec<String> = scopes.iter().map(LimitScope::key).collect();
    let found = tx.query(&format!("SELECT {} FROM ledgers WHERE scope = ANY ($1)", rows::LEDGER), params![keys]).await?;
    let found: BTreeMap<String, Ledger> = found.iter().map(rows::ledger).collect::<Result<_>>()?;
    Ok(keys.iter().map(|key| found.get(key).copied().unwrap_or_default()).collect())
}

/// Writes a ledger as it is.
pub(super) async fn restore(tx: &Tx, scope: &LimitScope, ledger: &Ledger) -> Result<()> {
    let mut ledgers = Ledgers::lock(tx, [scope.clone()]).await?;
    *ledgers.get(scope) = *ledger;
    ledgers.write(tx).await
}
