//! A clock that goes faster than the one on the wall, for what speaks over real sockets and therefore cannot run on virtual time.

#![expect(clippy::disallowed_methods, reason = "an executor is the one place that reads a clock, sleeps and spawns")]

use campaign_core::executor::{Executor, Hold};
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Tokio's tasks on a clock that goes `speed` times as fast as the wall's, from the moment it is made.
#[derive(Debug, Clone)]
pub struct QuickClock {
    runtime: Handle,
    wall: Instant,
    shown: Timestamp,
    speed: u32,
}

impl QuickClock {
    /// A clock that shows this moment now. Call it inside of a tokio runtime.
    pub fn starting_at(shown: Timestamp, speed: u32) -> Self {
        Self { runtime: Handle::current(), wall: Instant::now(), shown, speed: speed.max(1) }
    }
}

impl Executor for QuickClock {
    fn now(&self) -> Timestamp {
        let micros = self.wall.elapsed().as_micros() * u128::from(self.speed);
        let passed = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        self.shown.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            while let Some(left) = Duration::try_from(until.duration_since(clock.now())).ok().filter(|left| !left.is_zero()) {
                let sleep = {
                    let _inside = clock.runtime.enter();
                    tokio::time::sleep(left / clock.speed)
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
