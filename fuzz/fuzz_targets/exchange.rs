#![no_main]

#[path = "../../tests/hostile/exchange.rs"]
mod exchange;
#[path = "../../tests/hostile/paused.rs"]
mod paused;
#[path = "../../tests/hostile/pipe.rs"]
mod pipe;
#[path = "../../tests/hostile/shown.rs"]
mod shown;
#[allow(dead_code, reason = "of which this target uses a part")]
#[path = "../../tests/hostile/token_answer.rs"]
mod token_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exchange::check(input));
