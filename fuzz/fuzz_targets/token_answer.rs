#![no_main]

#[path = "../../tests/hostile/paused.rs"]
mod paused;
#[allow(dead_code, reason = "of which this target uses a part")]
#[path = "../../tests/hostile/shown.rs"]
mod shown;
#[path = "../../tests/hostile/token_answer.rs"]
mod token_answer;

libfuzzer_sys::fuzz_target!(|input: &[u8]| token_answer::check(input));
