//! Feeds `tagscope::fuzzing::websocket`, which says what must hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tagscope::fuzzing::websocket(data));
