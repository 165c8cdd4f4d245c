//! Feeds `tagscope::fuzzing::known`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagscope::fuzzing::known(data));
