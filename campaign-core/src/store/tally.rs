//! How the counters of a campaign move in one transaction.

use crate::contact::{ContactState, ContactStatus};
use crate::id::Money;
use std::collections::BTreeMap;

/// How the counters of one campaign move in one request.
#[derive(Default)]
pub(super) struct CountsDelta {
    by_status: BTreeMap<ContactStatus, i64>,
    pub(in crate::store) call_attempts: i64,
    pub(in crate::store) answered_calls: i64,
    pub(in crate::store) duration_seconds: i64,
    pub(in crate::store) cost: Money,
}

impl CountsDelta {
    /// `count` contacts more (or fewer) have this status.
    pub(in crate::store) fn add(&mut self, status: ContactStatus, count: i64) {
        *self.by_status.entry(status).or_default() += count;
    }

    /// One contact changes its status.
    pub(in crate::store) fn moved(&mut self, from: ContactStatus, to: ContactStatus) {
        self.add(from, -1);
        self.add(to, 1);
    }

    /// A contact counts in (`1`) or out (`-1`) with its sums.
    pub(in crate::store) fn contact(&mut self, state: &ContactState, sign: i64) {
        self.add(state.status, sign);
        self.call_attempts += sign * i64::from(state.call_attempts);
        self.answered_calls += sign * i64::from(state.answered_calls);
        self.duration_seconds += sign * state.duration_seconds as i64;
        self.cost.0 += sign * state.cost.0;
    }

    /// By how much the number of contacts with this status moves.
    pub(in crate::store) fn of(&self, status: ContactStatus) -> i64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }
}
