//! OAuth 2.0 grants: sources of tokens that ask a token endpoint.
//!
//! # Which one
//!
//! | who asks, and what for | what it has | grant | defined in |
//! |---|---|---|---|
//! | a program, for a user's account whose password it has | user name, password | [`PasswordGrant`] | RFC 6749, section 4.3 |
//! | a program, for itself | its secret, key or certificate | [`ClientCredentialsGrant`] | RFC 6749, section 4.4 |
//! | a program, for a user who logged in elsewhere: in a browser, on a device | a refresh token | [`RefreshTokenGrant`] | RFC 6749, section 6 |
//! | a program, for endpoint_name an assertion is about: of a cluster, an identity provider, its own | a signed assertion | [`JwtBearerGrant`] | RFC 7523, section 2.1 |
//! | a service that was called with a token, and calls the next one | that token | [`TokenExchangeGrant`] | RFC 8693 |
//! | anything else | whatever the server wants | [`ExtensionGrant`] | RFC 6749, section 4.5 |
//!
//! Where there is a choice: the password grant is for servers that offer nothing
//! better, for it hands the password to the program; OAuth 2.1 has it no more.
//! Of the ways in which a client proves itself ([`ClientAuth`]) a key or a
//! certificate is better than a secret, which the server knows as well.
//!
//! All of them are a [`Grant`] of some kind and share its settings: the
//! transport, the proof of the client, the scope, the end of a session. Each asks
//! at an [`Endpoint`], which is an address or an issuer that names it. What does
//! not live long comes from a [`SecretSource`]. An answer's refresh token, if
//! there is one, renews; when it is refused the grant asks anew by itself. With
//! the feature `config` a grant comes from a file or from the environment.
//!
//! # The answer
//!
//! Every grant posts a form to a token endpoint (RFC 6749, section 3.2) through
//! a [transport](crate::transport), and judges the answer alike:
//!
//! | answer | kind of error |
//! |---|---|
//! | 2xx with a bearer token | none |
//! | an `error` of `temporarily_unavailable`, `server_error` or `slow_down`, with any status | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | another `error` of RFC 6749, section 5.2, or `access_denied` or `invalid_target`, with any status, 429 and 5xx too | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 408, 425, 429 or 5xx otherwise | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | any other 4xx, readable or not | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 2xx with no `access_token` but an `error` | [`Refused`](crate::TokenErrorKind::Refused) |
//! | anything else | [`InvalidResponse`](crate::TokenErrorKind::InvalidResponse) |
//!
//! So the `error` member rules and the status comes second: servers differ in
//! their statuses, and a credential that was refused under a 429 or a 503 is
//! refused all the same. Where in doubt, it was refused, for a wrong password
//! that is tried again and again locks an account.

mod client;
mod client_credentials;
mod encode;
mod endpoint;
mod extension;
#[allow(clippy::module_inception, reason = "the grant among the grants")]
mod grant;
mod grant_type;
mod jwt_bearer;
mod params;
mod password;
mod refresh_token;
mod response;
mod secret;
mod token_exchange;
mod voipex;

#[cfg(feature = "private-key-jwt")]
pub use client::PrivateKey;
pub use client::{ClientAuth, PrivateKeyJwt, SignedJwt, Signer};
pub use client_credentials::{ClientCredentials, ClientCredentialsGrant};
pub use endpoint::Endpoint;
pub use extension::{Extension, ExtensionGrant};
pub use grant::Grant;
#[cfg(feature = "config")]
pub(crate) use grant_type::GrantType;
pub use jwt_bearer::{JwtBearer, JwtBearerGrant};
pub use password::{Password, PasswordGrant};
pub use refresh_token::{Refresh, RefreshTokenGrant};
pub use secret::{Secret, SecretFile, SecretSource};
pub use token_exchange::{TokenExchange, TokenExchangeGrant};
