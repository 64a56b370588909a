#![no_main]

#[path = "../../tests/hostile/challenge.rs"]
mod challenge;
#[path = "../../tests/hostile/paused.rs"]
mod paused;

libfuzzer_sys::fuzz_target!(|input: &[u8]| challenge::check(input));
