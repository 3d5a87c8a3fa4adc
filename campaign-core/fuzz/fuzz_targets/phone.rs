//! `cargo +nightly fuzz run phone`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campaign_core::testkit::fuzz::phone(data));
