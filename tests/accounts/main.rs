//! Many accounts: each has its own fetch, its own failures and its own token,
//! and never those of another, whatever is evicted meanwhile.

#![cfg(all(feature = "accounts", feature = "testing"))]

mod alternating;
mod capacity;
#[path = "../common/mod.rs"]
mod common;
mod endings;
mod eviction;
mod fetches;
mod finding;
mod histories;
mod refusals;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_clients;
mod starvation;
mod tenants;
