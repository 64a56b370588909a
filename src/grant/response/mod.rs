//! Reads what a token endpoint answers.

pub(super) mod body;
pub(super) mod error;
mod escapes;
pub(super) mod retry_after;
pub(super) mod token;
