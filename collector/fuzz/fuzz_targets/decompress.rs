#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| headrope_collector_fuzz::decompress(input));
