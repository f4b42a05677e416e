//! The target `config` for libFuzzer: see the module of that name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| monitor_fuzz::config::check(input));
