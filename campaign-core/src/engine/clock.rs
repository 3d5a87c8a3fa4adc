//! The engine's time: the executor's clock, put right by what the store says.
//!
//! A store that several machines share goes by its own clock, so that theirs may differ. Every answer that names the store's time was
//! given between the question and the answer; when the engine's clock says otherwise it is moved by as little as makes that true.

use crate::executor::Executor;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(crate) struct Clock {
    executor: Arc<dyn Executor>,
    /// Microseconds the store's clock is ahead of the executor's.
    ahead: AtomicI64,
    turn: Mutex<()>,
}

impl Clock {
    pub(crate) fn new(executor: Arc<dyn Executor>) -> Self {
        Self { executor, ahead: AtomicI64::new(0), turn: Mutex::new(()) }
    }

    fn ahead(&self) -> SignedDuration {
        SignedDuration::from_micros(self.ahead.load(Ordering::Relaxed))
    }

    /// Now, by the store's clock.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.executor.now();
        now.saturating_add(self.ahead()).unwrap_or(now)
    }

    /// Now, by this machine's own clock: for spans of time that no other machine may stretch.
    pub(crate) fn own(&self) -> Timestamp {
        self.executor.now()
    }

    /// Resolves at or after a moment of the store's clock.
    pub(crate) fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        self.executor.sleep_until(until.checked_sub(self.ahead()).unwrap_or(until))
    }

    /// The store said that it was `store` between `before`, a moment of [`Clock::own`], and now.
    pub(crate) fn heard(&self, before: Timestamp, store: Timestamp) {
        // Two answers at once must not both move the clock by what one of them says.
        let _turn = self.turn.lock();
        let ahead = self.ahead();
        let shown = |own: Timestamp| own.saturating_add(ahead).unwrap_or(own);
        let shift = shift(shown(before), shown(self.own()), store);
        if shift != SignedDuration::ZERO {
            let micros = i64::try_from(shift.as_micros()).unwrap_or(0);
            self.ahead.fetch_add(micros, Ordering::Relaxed);
            if shift.abs() > SignedDuration::from_secs(1) {
                tracing::warn!(seconds = shift.as_secs(), "the clocks of this machine and of the store differ; the store's is used");
            }
        }
    }
}

/// By how much a clock must be moved so that `store` lies between the two moments it showed.
fn shift(before: Timestamp, after: Timestamp, store: Timestamp) -> SignedDuration {
    if store < before {
        store.duration_since(before)
    } else if store > after {
        store.duration_since(after)
    } else {
        SignedDuration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::VirtualExecutor;

    #[test]
    fn a_clock_is_moved_as_little_as_possible() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let executor = Arc::new(VirtualExecutor::new(at(1_000_000)));
        let clock = Clock::new(executor);
        // The machine's clock stands at 1,000 s throughout; each question began when it showed the first moment.
        clock.heard(at(1_000_000), at(1_000_000));
        assert_eq!(clock.now(), at(1_000_000), "no difference, no change");
        clock.heard(at(1_000_000), at(1_060_000));
        assert_eq!(clock.now(), at(1_060_000), "a minute ahead");
        assert_eq!(clock.own(), at(1_000_000), "the machine's own clock stays");
        clock.heard(at(999_990), at(1_059_995));
        assert_eq!(clock.now(), at(1_060_000), "an answer within the question's time says nothing new");
        clock.heard(at(999_990), at(1_059_980));
        assert_eq!(clock.now(), at(1_059_990), "ten milliseconds back, to where the question began");
        clock.heard(at(999_990), at(1_059_980));
        assert_eq!(clock.now(), at(1_059_990), "the same answer again moves nothing");
    }
}
