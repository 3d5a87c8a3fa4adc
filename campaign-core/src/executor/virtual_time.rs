//! A deterministic single-threaded executor on a clock of its own.
//!
//! Tasks run one after another in the order they were woken. When none can run, the clock jumps to the next timer; so months
//! pass in seconds, and the same tasks give the same order every time. While something outside is awaited (a store's own
//! thread, blocking work) a [`Hold`] keeps the clock where it is.

#![expect(clippy::disallowed_methods, reason = "the executor is the one room that reads a clock, sleeps and spawns")]

use super::{Executor, Hold};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// When nothing can run, no timer is set and nothing outside is awaited, a wake-up can only come from a thread that forgot its
/// [`Hold`]. After this time the run is given up as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Runs the same engine on virtual time. Cheap to clone.
#[derive(Clone)]
pub struct VirtualExecutor(Arc<Inner>);

struct Inner {
    /// Microseconds since the epoch; apart from the state so that reading the clock takes no lock.
    now: AtomicI64,
    state: Mutex<State>,
    /// Signalled when a wake-up or the end of a hold comes from another thread.
    outside: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Arc<Task>>,
    timers: BTreeMap<(i64, u64), Waker>,
    next_timer: u64,
    holds: usize,
    /// Every task that has not ended, so that none outlives the run: a task that waits on a channel is held by nothing else but
    /// that channel, which it may own itself.
    live: BTreeMap<u64, Weak<Task>>,
    next_task: u64,
}

struct Task {
    id: u64,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    executor: Weak<Inner>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(inner) = self.executor.upgrade() {
            inner.state.lock().ready.push_back(self);
            inner.outside.notify_one();
        }
    }
}

impl VirtualExecutor {
    /// A clock that starts at this moment.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(Inner { now: AtomicI64::new(start.as_microsecond()), state: Mutex::default(), outside: Condvar::new() }))
    }

    /// Runs `main` to its end on the calling thread, with everything that is spawned meanwhile, and returns what it gives.
    /// Tasks still running then are dropped.
    ///
    /// # Panics
    /// When a task panics, or when `main` waits for something that can never happen.
    pub fn run<T: Send + 'static>(&self, main: impl Future<Output = T> + Send + 'static) -> T {
        let result: Arc<Mutex<Option<T>>> = Arc::default();
        let slot = Arc::clone(&result);
        self.spawn(Box::pin(async move {
            let value = main.await;
            *slot.lock() = Some(value);
        }));
        loop {
            while let Some(task) = self.next_ready() {
                task.queued.store(false, Ordering::Release);
                let waker = Waker::from(Arc::clone(&task));
                let mut future = task.future.lock();
                if let Some(running) = future.as_mut()
                    && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
                {
                    *future = None;
                    self.0.state.lock().live.remove(&task.id);
                }
            }
            if let Some(value) = result.lock().take() {
                self.clear();
                return value;
            }
            self.advance();
        }
    }

    fn next_ready(&self) -> Option<Arc<Task>> {
        self.0.state.lock().ready.pop_front()
    }

    /// Jumps to the next timer, or waits for the outside.
    fn advance(&self) {
        let mut state = self.0.state.lock();
        loop {
            if !state.ready.is_empty() {
                return;
            }
            if state.holds > 0 {
                self.0.outside.wait(&mut state);
                continue;
            }
            if let Some(((at, _), waker)) = state.timers.pop_first() {
                self.0.now.fetch_max(at, Ordering::AcqRel);
                drop(state);
                waker.wake();
                return;
            }
            let timed_out = self.0.outside.wait_for(&mut state, STUCK_AFTER).timed_out();
            assert!(!timed_out || !state.ready.is_empty(), "the virtual executor is stuck: no task can run and no timer is set");
        }
    }

    /// Drops what is left. Dropping a future may wake others or touch timers, so it happens outside of the lock.
    fn clear(&self) {
        loop {
            let (live, ready, timers) = {
                let mut state = self.0.state.lock();
                (std::mem::take(&mut state.live), std::mem::take(&mut state.ready), std::mem::take(&mut state.timers))
            };
            if live.is_empty() && ready.is_empty() && timers.is_empty() {
                return;
            }
            for task in live.into_values().filter_map(|task| task.upgrade()) {
                drop(task.future.lock().take());
            }
        }
    }
}

impl Executor for VirtualExecutor {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.now.load(Ordering::Acquire)).unwrap_or(Timestamp::MAX)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        // Rounded up: a timer must not fire before its moment.
        let micros = until.as_microsecond() + i64::from(until.as_nanosecond() % 1_000 > 0);
        Box::pin(Sleep { inner: Arc::clone(&self.0), until: micros, timer: None })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut state = self.0.state.lock();
        state.next_task += 1;
        let id = state.next_task;
        let task = Arc::new(Task { id, future: Mutex::new(Some(task)), queued: AtomicBool::new(false), executor: Arc::downgrade(&self.0) });
        state.live.insert(id, Arc::downgrade(&task));
        drop(state);
        task.wake();
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send + 'static>) {
        let hold = self.hold();
        std::thread::spawn(move || {
            work();
            drop(hold);
        });
    }

    fn hold(&self) -> Hold {
        self.0.state.lock().holds += 1;
        Hold::new(HoldGuard(Arc::downgrade(&self.0)))
    }
}

impl std::fmt::Debug for VirtualExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VirtualExecutor").field("now", &self.now()).finish_non_exhaustive()
    }
}

struct HoldGuard(Weak<Inner>);

impl Drop for HoldGuard {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.state.lock().holds -= 1;
            inner.outside.notify_one();
        }
    }
}

struct Sleep {
    inner: Arc<Inner>,
    until: i64,
    timer: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.inner.now.load(Ordering::Acquire) >= self.until {
            return Poll::Ready(());
        }
        let inner = Arc::clone(&self.inner);
        let mut state = inner.state.lock();
        let key = self.timer.unwrap_or_else(|| {
            state.next_timer += 1;
            (self.until, state.next_timer)
        });
        state.timers.insert(key, context.waker().clone());
        self.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            let timer = self.inner.state.lock().timers.remove(&key);
            drop(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_month_passes_at_once_and_in_order() {
        let executor = VirtualExecutor::new(start());
        let log = Arc::new(Mutex::new(Vec::new()));
        let inner = executor.clone();
        let seen = Arc::clone(&log);
        executor.run(async move {
            for hours in [30 * 24, 2, 1] {
                let (executor, log) = (inner.clone(), Arc::clone(&seen));
                let until = start() + SignedDuration::from_hours(hours);
                inner.spawn(Box::pin(async move {
                    executor.sleep_until(until).await;
                    log.lock().push((hours, executor.now() == until));
                }));
            }
            inner.sleep_until(start() + SignedDuration::from_hours(31 * 24)).await;
        });
        assert_eq!(*log.lock(), [(1, true), (2, true), (720, true)]);
    }

    #[test]
    fn the_clock_stands_still_while_blocking_work_runs() {
        let executor = VirtualExecutor::new(start());
        let inner = executor.clone();
        let now = executor.run(async move {
            let (tell, told) = tokio::sync::oneshot::channel();
            // A timer is pending all the while; it must not fire before the thread has answered.
            let timer = inner.clone();
            inner.spawn(Box::pin(async move { timer.sleep_until(start() + SignedDuration::from_hours(1)).await }));
            inner.spawn_blocking(Box::new(move || {
                let _ = tell.send(());
            }));
            let _ = told.await;
            inner.now()
        });
        assert_eq!(now, start());
    }

    #[test]
    fn dropped_sleeps_leave_no_timer() {
        let executor = VirtualExecutor::new(start());
        let inner = executor.clone();
        executor.run(async move {
            let mut sleep = inner.sleep_until(start() + SignedDuration::from_hours(1));
            assert!(futures_util::poll!(&mut sleep).is_pending());
            drop(sleep);
            assert!(inner.0.state.lock().timers.is_empty());
        });
    }
}
