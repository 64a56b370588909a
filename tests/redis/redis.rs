//! The store in Redis, against a server that these tests start and end.
//!
//! `bash tests/redis/run` says where redis-server is, and runs them.
#![cfg(unix)]

mod access;
mod caches;
mod cluster;
#[path = "../conformance/mod.rs"]
mod conformance;
mod faults;
mod fleet;
mod garbage;
#[path = "../../examples/fleet/member.rs"]
#[allow(
    dead_code,
    reason = "the processes run it, the tests read what they say"
)]
mod member;
mod outages;
mod proxy;
mod sentinel;
mod server;
mod steps;
