//! One cache and its layer, with one token endpoint and several origins.

mod answers;
mod api;
mod callers;
mod exclusive;
mod history;
mod reference;
mod rejections;
mod server;
mod steps;
mod world;

pub(crate) use history::run;
