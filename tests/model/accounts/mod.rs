//! Accounts that come and go: several keys, a small capacity, endpoints that change
//! their behaviour.

mod api;
mod history;
mod server;
mod state;
mod steps;

pub(crate) use history::run;
