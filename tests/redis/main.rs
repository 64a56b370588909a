//! The store in Redis, against a server that these tests start and end.
//!
//! `bash tests/redis/run` says where redis-server is, and runs them.
#![cfg(all(unix, feature = "redis", feature = "testing"))]

mod access;
#[path = "../conformance/mod.rs"]
mod conformance;
mod garbage;
mod outages;
mod proxy;
mod server;
mod steps;
