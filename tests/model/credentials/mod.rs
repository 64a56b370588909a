//! Several caches that send a right or a wrong password of the same user.

mod history;
mod server;

pub(crate) use history::run;
