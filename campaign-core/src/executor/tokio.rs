//! The wall clock and tokio's tasks and timers.

#![expect(clippy::disallowed_methods, reason = "the executor is the one room that reads a clock, sleeps and spawns")]

use super::{Executor, Hold};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::time::Duration;
use tokio::runtime::Handle;

/// A long sleep is cut into pieces of this length, so that it follows a wall clock that is set while it lasts.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Runs the engine on a tokio runtime and the wall clock.
#[derive(Debug, Clone)]
pub struct TokioExecutor {
    handle: Handle,
}

impl TokioExecutor {
    /// On the runtime of the caller; `None` outside of one.
    pub fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self::on)
    }

    /// On this runtime. It needs the time driver (`enable_time`).
    pub fn on(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Executor for TokioExecutor {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let handle = self.handle.clone();
        Box::pin(async move {
            loop {
                let left = until.duration_since(Timestamp::now());
                let Ok(left) = Duration::try_from(left) else { return };
                if left.is_zero() {
                    return;
                }
                let sleep = {
                    let _inside = handle.enter();
                    tokio::time::sleep(left.min(LONGEST_SLEEP))
                };
                sleep.await;
            }
        })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        self.handle.spawn_blocking(work);
    }

    fn hold(&self) -> Hold {
        Hold::none()
    }
}
