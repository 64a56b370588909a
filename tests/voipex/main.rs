//! VoIPex: its exchange, with which an API access acts for any number of users with
//! a single login, and the embedded server that replaces it.

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
