//! A record of the log, or of the dead letters, that anybody may have written.
#![no_main]

#[path = "../checks.rs"]
#[allow(dead_code, reason = "each target uses a part of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::event(bytes));
