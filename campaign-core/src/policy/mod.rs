//! Pure decisions: may this contact be reached now, at which slot, what follows an outcome, which state changes are legal.
//!
//! Nothing here reads a clock, does I/O or is async; everything is a function of its arguments, and stores, engine and
//! simulation all call the same ones.

pub mod announce;
pub mod gates;
pub mod limits;
pub mod metrics;
pub mod retry;
pub mod share;
pub mod transition;
