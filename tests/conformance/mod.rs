//! The requirements for every `TokenStore`. Each function takes a store in which its
//! account has nothing yet.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unused_imports, reason = "as above")]

mod calls;
mod contract;
pub(crate) mod random;

pub(crate) use calls::{
    acquire, acquire_lease, acquire_token, complete, completion, completion_with_failure_of,
    completion_with_tokens, fail, failure_of, fetch, payload, refresh_payload,
    remembered_failure_of, request, request_by, token_of,
};
pub(crate) use contract::all;
