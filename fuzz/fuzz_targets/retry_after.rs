#![no_main]

#[path = "../../tests/hostile/paused.rs"]
mod paused;
#[path = "../../tests/hostile/retry_after.rs"]
mod retry_after;

libfuzzer_sys::fuzz_target!(|input: &[u8]| retry_after::check(input));
