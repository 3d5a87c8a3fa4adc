//! A queue between the callers and the store's threads.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;

/// Unbounded: every entry belongs to a caller that waits for its answer.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { items: VecDeque::new(), closed: false }), ready: Condvar::new() }
    }

    /// Adds an item, or gives it back when the queue is closed.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push_back(item);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for items and takes up to `max` of them; empty once the queue is closed and drained.
    pub(super) fn take(&self, max: usize) -> Vec<T> {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.closed {
            self.ready.wait(&mut state);
        }
        let count = state.items.len().min(max);
        state.items.drain(..count).collect()
    }

    /// Whether further items are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Refuses further items; what is in the queue is still handed out.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }
}
