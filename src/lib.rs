//! Tower middleware for APIs protected by OAuth 2.0 bearer tokens.

mod error;
mod origins;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod token;

pub use error::{BoxError, ConfigError, TokenError, TokenErrorKind};
pub use origins::Origins;
pub use source::TokenSource;
pub use token::{AccessToken, RefreshToken, TokenResponse};
