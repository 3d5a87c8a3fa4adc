//! Proof for stores and dialers written by others.

pub mod store;
