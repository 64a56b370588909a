//! The store in Redis, against servers that these tests start and end.
//!
//! `bash tests/redis/run` finds or installs redis-server, and runs them.
#![cfg(unix)]

mod access;
mod caches;
mod cluster;
#[path = "../conformance/mod.rs"]
mod conformance;
mod contract;
mod far;
mod faults;
mod figures;
mod fleet;
mod garbage;
mod late;
#[path = "../../examples/fleet/member.rs"]
#[allow(
    dead_code,
    reason = "the processes run it, the tests read their output"
)]
mod member;
mod outages;
mod proxy;
mod sentinel;
mod server;
mod told;
