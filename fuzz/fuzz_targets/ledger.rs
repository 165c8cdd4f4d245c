//! Feeds `tagscope::fuzzing::ledger`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagscope::fuzzing::ledger(data));
