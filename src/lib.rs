//! Tower middleware for APIs protected by OAuth 2.0 bearer tokens.

mod error;
pub mod grant;
mod origins;
mod source;
mod token;
pub mod transport;

pub use error::{BoxError, ConfigError, TokenError, TokenErrorKind};
pub use grant::PasswordGrant;
pub use origins::Origins;
pub use source::TokenSource;
pub use token::{AccessToken, RefreshToken, TokenResponse};
