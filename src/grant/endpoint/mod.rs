//! Where a grant asks, and how.

mod address;
mod ending;
mod issuer;
mod metadata;
mod place;
mod token_endpoint;

pub use place::Endpoint;

#[cfg(test)]
pub(super) use address::parse_as;
pub(super) use ending::Ending;
pub(super) use token_endpoint::TokenEndpoint;
