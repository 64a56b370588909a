//! Reads the response of a token endpoint.

pub(super) mod body;
pub(super) mod description;
pub(super) mod error;
mod json_text;
mod lifetime;
pub(super) mod token;
