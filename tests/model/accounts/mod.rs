//! Accounts that come and go: several keys, a small capacity, endpoints with moods
//! of their own.

mod api;
mod history;
mod server;
mod state;
mod steps;

pub(crate) use history::run;
