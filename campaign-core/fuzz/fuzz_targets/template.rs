//! `cargo +nightly fuzz run template`

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| campaign_core::testkit::fuzz::template(text));
