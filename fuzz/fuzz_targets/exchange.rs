#![no_main]

#[path = "../../tests/hostile/exchange.rs"]
mod exchange;
#[path = "../../tests/hostile/paused.rs"]
mod paused;
#[path = "../../tests/hostile/shown.rs"]
mod shown;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exchange::check(input));
