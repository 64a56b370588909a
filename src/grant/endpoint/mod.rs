//! Where a grant requests tokens, and where it ends sessions.

mod discovery;
#[allow(clippy::module_inception, reason = "the endpoint among the endpoints")]
mod endpoint;
mod metadata;
mod revocation;
mod token_endpoint;
mod url;

pub use endpoint::{Endpoint, IntoEndpoint};
pub use url::EndpointUrl;

pub(super) use revocation::RevocationMethod;
pub(super) use token_endpoint::TokenEndpoint;
#[cfg(test)]
pub(super) use url::parse_as;
