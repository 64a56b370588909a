#![no_main]

#[path = "../../tests/hostile/origins.rs"]
mod origins;
#[path = "../../tests/hostile/paused.rs"]
mod paused;

libfuzzer_sys::fuzz_target!(|input: &[u8]| origins::check(input));
