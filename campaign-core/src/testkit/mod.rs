//! Proof for stores and dialers written by others.
mod fuzz_phone;

pub use fuzz_phone::fuzz_phone;
