//! Feeds `tagscope::fuzzing::extract`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagscope::fuzzing::extract(data));
