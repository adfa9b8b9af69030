#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| headrope_storage_fuzz::log_frames(input));
