//! `cargo +nightly fuzz run import`

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| campaign_core::testkit::fuzz::import(data));
