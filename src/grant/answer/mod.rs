//! Reads what a token endpoint answers.

pub(super) mod members;
pub(super) mod refusal;
pub(super) mod response;
pub(super) mod retry_after;
