#![no_main]

#[path = "../../tests/templates/fuzz_body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|input: &str| body::run(input));
