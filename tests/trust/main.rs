//! What the cache believes about failures: each is read rightly, kept in the
//! right place, and meant for the right ones. The figures are those that were
//! promised.

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
