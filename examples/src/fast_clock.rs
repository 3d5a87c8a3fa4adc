//! A clock that goes faster than the one on the wall: an executor of your own, in one file.

#![expect(clippy::disallowed_methods, reason = "an executor is the one place that reads a clock, sleeps and spawns")]

use campaign_core::executor::{Executor, Hold};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// No sleep on the wall is longer than this, so that sleepers notice a change of speed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Tokio's tasks on a clock that starts at any moment and goes at any speed. Everything that asks the engine's clock (windows, retries,
/// leases, the simulated carrier) goes along; nothing is skipped and nothing is simplified.
#[derive(Clone)]
pub struct FastClock {
    runtime: Handle,
    hands: Arc<Mutex<Hands>>,
}

/// At `wall` it was `shown`, and since then it goes `speed` times as fast as the wall's.
#[derive(Clone, Copy)]
struct Hands {
    wall: Instant,
    shown: Timestamp,
    speed: u32,
}

impl Hands {
    fn now(&self) -> Timestamp {
        let micros = self.wall.elapsed().as_micros() * u128::from(self.speed);
        let passed = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        self.shown.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}

impl FastClock {
    /// A clock that shows this moment now and goes at the usual speed. Call it inside of a tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn starting_at(moment: Timestamp) -> Self {
        // Whole microseconds are what stores keep.
        let shown = Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment);
        Self { runtime: Handle::current(), hands: Arc::new(Mutex::new(Hands { wall: Instant::now(), shown, speed: 1 })) }
    }

    /// Goes this many times as fast as the wall's clock from now on.
    pub fn set_speed(&self, speed: u32) {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        *hands = Hands { wall: Instant::now(), shown: hands.now(), speed: speed.max(1) };
    }

    fn hands(&self) -> Hands {
        *self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for FastClock {
    fn now(&self) -> Timestamp {
        self.hands().now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                let hands = clock.hands();
                let Ok(left) = Duration::try_from(until.duration_since(hands.now())) else { return };
                if left.is_zero() {
                    return;
                }
                let sleep = {
                    let _inside = clock.runtime.enter();
                    tokio::time::sleep((left / hands.speed).min(LONGEST_SLEEP))
                };
                sleep.await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.runtime.spawn_blocking(work);
    }

    fn hold(&self) -> Hold {
        Hold::none()
    }
}
