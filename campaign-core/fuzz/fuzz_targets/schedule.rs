//! `cargo +nightly fuzz run schedule`

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| campaign_core::testkit::fuzz::schedule(text));
