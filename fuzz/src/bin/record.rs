//! The target `record` for libFuzzer: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| monitor_fuzz::record::check(input));
