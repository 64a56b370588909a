//! What every `TokenStore` has to do. Each function takes a store in which its
//! account has nothing yet.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unused_imports, reason = "as above")]

mod calls;
mod contract;
pub(crate) mod random;

pub(crate) use calls::{
    acquire, acquire_lease, acquire_token, complete, completion, completion_with_tokens, payload,
    refresh_payload, request,
};
pub(crate) use contract::all;
