//! Specs, schedules and calling windows from arbitrary text.
#![no_main]

#[path = "../bodies/schedule.rs"]
mod schedule;

libfuzzer_sys::fuzz_target!(|text: &str| schedule::run(text));
