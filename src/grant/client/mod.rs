//! Which client requests a token, and how it authenticates.

mod auth;
mod authenticate;
mod jwt;
#[cfg(feature = "private-key-jwt")]
mod private_key;
mod signer;

pub use auth::ClientAuth;
pub use jwt::SignedJwt;
#[cfg(feature = "private-key-jwt")]
pub use private_key::PrivateKey;
pub use signer::{JwtHeaders, Signer};

pub(super) use authenticate::Client;
