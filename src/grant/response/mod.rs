//! Reads the response of a token endpoint.

pub(super) mod body;
pub(super) mod error;
pub(super) mod token;
