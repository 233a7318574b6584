#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fseg_fuzzed::openflow_message(bytes));
