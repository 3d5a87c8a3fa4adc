//! Helpers of the examples.

mod fast_clock;

pub use fast_clock::FastClock;
