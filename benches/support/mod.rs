//! Code that the benches share: stacks to measure, interleaved rounds, and tables,
//! JSON and plots of the results.
#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod alloc;
pub(crate) mod by_hand;
pub(crate) mod drive;
pub(crate) mod histogram;
pub(crate) mod paired;
pub(crate) mod park;
pub(crate) mod plot;
pub(crate) mod rounds;
pub(crate) mod stack;
pub(crate) mod summary;
pub(crate) mod table;

/// A panic is what a bench has for an error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
