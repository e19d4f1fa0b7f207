#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushwrap::fuzzing::spooled_push(data));
