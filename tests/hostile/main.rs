//! What comes from outside, at its worst. Each body asserts properties of one
//! input; here they run over the seeds, over what the fuzzer found, and over
//! made-up input. `fuzz/` runs the same bodies.

mod paused;
mod properties;
mod shown;
mod token_answer;
