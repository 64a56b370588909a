//! How the cache interprets failures: each is classified correctly, kept in the
//! right place, and applied to the right callers, with the promised numbers.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod credentials;
#[path = "../common/endpoint.rs"]
mod endpoint;
mod freshness;
mod refreshes;
mod refusals;
mod rejections;
mod waiting;
