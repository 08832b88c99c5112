//! See `sse_state_proptests::sim::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sse_state_proptests::sim::fuzz(bytes));
