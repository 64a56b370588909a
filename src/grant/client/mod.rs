//! Who asks, and how it proves itself.

mod auth;
mod authenticate;
mod jwt;
#[cfg(feature = "private-key-jwt")]
mod private_key;
mod private_key_jwt;
mod signer;

pub use auth::ClientAuth;
pub use jwt::SignedJwt;
#[cfg(feature = "private-key-jwt")]
pub use private_key::PrivateKey;
pub use private_key_jwt::PrivateKeyJwt;
pub use signer::Signer;

pub(super) use authenticate::Client;
