//! Hostile input from outside. Each body asserts properties of one input; here they
//! run over the seeds, over the fuzzer's findings, and over generated input. `fuzz/`
//! runs the same bodies.

mod buffered;
mod challenge;
mod exchange;
mod origins;
mod paused;
mod pipe;
mod properties;
mod retry_after;
mod shown;
mod token_answer;
#[cfg(feature = "reqwest")]
mod urls;
