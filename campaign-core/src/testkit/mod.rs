//! Proof for stores and dialers written by others.

pub mod dialer;
mod fuzz_phone;
pub mod store;

pub use fuzz_phone::fuzz_phone;
