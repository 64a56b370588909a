//! Many accounts: each has its own fetch, its own failures and its own token,
//! and never those of another, whatever is evicted meanwhile.

#![cfg(all(feature = "accounts", feature = "testing"))]

#[path = "../common/mod.rs"]
mod common;
mod capacity;
mod endings;
mod eviction;
mod fetches;
mod finding;
mod histories;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_clients;
mod refusals;
mod starvation;
mod tenants;
