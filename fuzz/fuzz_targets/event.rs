//! A record of the log, or of the dead letters, that anybody may have written.
#![no_main]

#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::event(bytes));
