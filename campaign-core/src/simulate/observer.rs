//! A dialer that counts what another does.

use super::{CostBand, SimulationReport, Unreachable};
use crate::Result;
use crate::dialer::{Capabilities, DialContext, DialError, DialRequest, Dialer, FindRequest, Found};
use crate::event::Progress;
use crate::id::Money;
use crate::outcome::Outcome;
use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;

#[derive(Default)]
struct Seen {
    attempts: u64,
    in_flight: u32,
    peak: u32,
    per_hour: BTreeMap<i64, u64>,
    cost: f64,
    cost_squared: f64,
}

pub(super) struct Observer<D> {
    inner: D,
    seen: Mutex<Seen>,
}

impl<D: Dialer> Observer<D> {
    pub(super) fn new(inner: D) -> Self {
        Self { inner, seen: Mutex::default() }
    }

    pub(super) fn report(
        &self,
        started_at: Timestamp,
        finished_at: Option<Timestamp>,
        progress: Progress,
        unreachable: Vec<Unreachable>,
    ) -> SimulationReport {
        let seen = self.seen.lock();
        let count = seen.attempts.max(1) as f64;
        let mean = seen.cost / count;
        let variance = (seen.cost_squared / count - mean * mean).max(0.0);
        // The sum of many independent costs spreads by the square root of their number; 1.96 deviations hold 95 % of it.
        let spread = 1.96 * (variance * count).sqrt();
        SimulationReport {
            started_at,
            finished_at,
            progress,
            attempts: seen.attempts,
            attempts_per_hour: seen
                .per_hour
                .iter()
                .filter_map(|(hour, count)| Some((Timestamp::from_second(hour * 3600).ok()?, *count)))
                .collect(),
            peak_concurrency: seen.peak,
            cost: CostBand {
                low: Money::from_units((seen.cost - spread).max(0.0)),
                expected: Money::from_units(seen.cost),
                high: Money::from_units(seen.cost + spread),
            },
            unreachable,
        }
    }
}

#[async_trait]
impl<D: Dialer> Dialer for Observer<D> {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        {
            let mut seen = self.seen.lock();
            seen.attempts += 1;
            seen.in_flight += 1;
            seen.peak = seen.peak.max(seen.in_flight);
            *seen.per_hour.entry(context.now().as_second().div_euclid(3600)).or_default() += 1;
        }
        let result = self.inner.dial(request, context).await;
        let mut seen = self.seen.lock();
        seen.in_flight -= 1;
        let cost = result.as_ref().ok().and_then(|outcome| outcome.cost).map_or(0.0, Money::units);
        seen.cost += cost;
        seen.cost_squared += cost * cost;
        result
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.inner.find(request).await
    }
}
