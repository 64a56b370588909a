//! Tower middleware for APIs protected by OAuth 2.0 bearer tokens.

mod cache;
mod error;
mod origins;
mod source;
mod token;

pub use cache::{Status, TokenCache, TokenCacheBuilder};
pub use error::{BoxError, ConfigError, TokenError, TokenErrorKind};
pub use origins::Origins;
pub use source::TokenSource;
pub use token::{AccessToken, RefreshToken, TokenResponse};
