//! What every `TokenStore` has to do. Each function takes a store in which its
//! account has nothing yet.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unused_imports, reason = "as above")]

mod ask;
mod contract;
pub(crate) mod random;

pub(crate) use ask::{acquire, complete, given, leased, nothing, payload, token, tokens, want};
pub(crate) use contract::all;
