//! Many accounts: each has its own flight, its own failures and its own token,
//! and nobody else's, whatever is evicted meanwhile.

#![cfg(all(feature = "accounts", feature = "testing"))]

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod fetches;
mod finding;
mod histories;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod tenants;
