//! Reads what a token endpoint answers.

mod escapes;
pub(super) mod members;
pub(super) mod refusal;
pub(super) mod response;
pub(super) mod retry_after;
