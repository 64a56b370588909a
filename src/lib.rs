//! Tower middleware for APIs protected by OAuth 2.0 bearer tokens.

#![forbid(unsafe_code)]

mod auth;
mod cache;
mod error;
pub mod grant;
mod origins;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
pub mod transport;

pub use auth::{
    BearerAuth, BearerAuthLayer, CloneBody, EmptyBody, Error, Never, Outcome, ReplayPolicy,
    ResponseFuture,
};
pub use cache::{Status, TokenCache, TokenCacheBuilder};
pub use error::{BoxError, ConfigError, TokenError, TokenErrorKind};
pub use grant::PasswordGrant;
pub use origins::Origins;
pub use source::TokenSource;
pub use token::{AccessToken, RefreshToken, TokenResponse};
