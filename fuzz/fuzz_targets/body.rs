//! A request's body, or a record of a topic that others fill.
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target uses a part of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::body(bytes));
