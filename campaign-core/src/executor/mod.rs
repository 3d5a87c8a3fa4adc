//! The only room that reads a clock, sleeps or spawns.
//!
//! [`TokioExecutor`] runs on the wall clock. [`VirtualExecutor`] runs the same engine on virtual time: months in seconds, and the
//! same seed gives the same log.

mod tokio;
mod virtual_time;

pub use self::tokio::TokioExecutor;
pub use virtual_time::VirtualExecutor;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::any::Any;
use std::sync::Arc;

/// Runs the engine's tasks and tells it the time.
pub trait Executor: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Resolves at or after that moment. Must follow the wall clock when that is set, and may be dropped at any time.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()>;

    /// Runs a task to its end.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs work that blocks (reading a file) where it holds up nobody.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>);

    /// Says that something outside the executor is being waited for, until the guard is dropped: a virtual clock stands still meanwhile.
    fn hold(&self) -> Hold;
}

/// Keeps a virtual clock from moving; see [`Executor::hold`].
#[derive(Default)]
pub struct Hold(#[expect(dead_code, reason = "only its drop matters")] Option<Box<dyn Any + Send + Sync>>);

impl Hold {
    /// A guard that holds nothing: real clocks need none.
    pub fn none() -> Self {
        Self(None)
    }

    /// A guard that drops this value when it ends.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(guard)))
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hold")
    }
}

/// An executor that can be shared.
pub type SharedExecutor = Arc<dyn Executor>;
