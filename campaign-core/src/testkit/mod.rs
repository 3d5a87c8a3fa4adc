//! Proof for stores and dialers written by others.

pub mod dialer;
pub mod fuzz;
pub mod store;
