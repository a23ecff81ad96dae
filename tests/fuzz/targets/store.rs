//! JSON values of the bucket.
#![no_main]

#[path = "../../src/fuzzing/mod.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::check("store", bytes));
