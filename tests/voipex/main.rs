//! VoIPex: its exchange, by which an API access acts for any number of users with one
//! login in all, and the embedded server that stands for it.

#![cfg(all(feature = "accounts", feature = "testing"))]

mod account;
#[path = "../common/mod.rs"]
mod common;
mod fleet;
mod login;
mod refusals;
mod requests;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod users;
mod world;
