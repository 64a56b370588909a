//! OAuth 2.0 grants: sources that request tokens from a token endpoint.
//!
//! # Which grant to use
//!
//! | the program acts for | it has | grant | defined in |
//! |---|---|---|---|
//! | a user whose password it has | user name, password | [`PasswordGrant`] | RFC 6749, section 4.3 |
//! | itself | its secret, key or certificate | [`ClientCredentialsGrant`] | RFC 6749, section 4.4 |
//! | a user who logged in elsewhere: in a browser, on a device | a refresh token | [`RefreshTokenGrant`] | RFC 6749, section 6 |
//! | the subject of an assertion, which a cluster, an identity provider or the program itself signed | a signed assertion | [`JwtBearerGrant`] | RFC 7523, section 2.1 |
//! | the caller of a service, which calls the next service | the caller's token | [`TokenExchangeGrant`] | RFC 8693 |
//! | anything else | what the server requires | [`ExtensionGrant`] | RFC 6749, section 4.5 |
//! | a user of VoIPex, whom its API access may impersonate | the access's [`TokenCache`](crate::TokenCache) | [`VoipexImpersonation`](crate::VoipexImpersonation) | VoIPex |
//!
//! Use the password grant only where the server offers nothing better: it gives
//! the password to the program, and OAuth 2.1 removes it. To authenticate the
//! client ([`ClientAuth`]), prefer a key or a certificate to a secret, which the
//! server has to know as well.
//!
//! Each of them is a [`Grant`] and shares its settings: transport, client
//! authentication, scope, parameters, timeout, and where a session is ended. Its
//! token endpoint is a URL, or an [`Endpoint`] that an issuer names. Short-lived
//! secrets come from a [`SecretSource`]; a password or a client's secret may be in a
//! [`SecretFile`], which is read for each token request. A refresh token in a
//! response is used for renewals; if the server refuses it, the grant uses its own
//! credentials again. With the feature `config` a grant can be read from a file or
//! from the environment.
//!
//! # The response
//!
//! Every grant posts a form to a token endpoint (RFC 6749, section 3.2) through a
//! [transport](crate::transport), and reads the response the same way:
//!
//! | response | kind of error |
//! |---|---|
//! | 2xx with a bearer token | none |
//! | an `error` of `temporarily_unavailable`, `server_error` or `slow_down`, with any status | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | 407, which is a proxy's | [`Connect`](crate::TokenErrorKind::Connect) |
//! | another `error` of RFC 6749, section 5.2, or `access_denied` or `invalid_target`, with any status but 429 and 503 | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 408, 425, 429 or 5xx otherwise | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | any other 4xx, readable or not | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 2xx with no `access_token` but an `error` | [`Refused`](crate::TokenErrorKind::Refused) |
//! | anything else | [`InvalidResponse`](crate::TokenErrorKind::InvalidResponse) |
//!
//! A response is JSON, or a form if its content type says so. An access token is
//! opaque (RFC 6749, appendix A.12). Other irregularities do not lose the token: an
//! unreadable lifetime counts as unknown, a missing `token_type` as bearer. All
//! other members are kept: [`TokenResponse::get`](crate::TokenResponse::get). The
//! guide [`servers`](crate::guide::servers) lists what each server needs.
//!
//! The `error` takes precedence over the status, because servers differ in their
//! statuses; only a server that is too busy says so whatever the request was. When
//! in doubt, the response is a refusal, because a wrong password that is sent
//! repeatedly locks an account.

mod client;
mod client_credentials;
mod credential;
mod endpoint;
mod extension;
mod fingerprint;
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
pub use client::{ClientAuth, JwtHeaders, SignedJwt, Signer};
pub use client_credentials::ClientCredentialsGrant;
pub use credential::Credential;
pub use endpoint::{Endpoint, EndpointUrl, IntoEndpoint};
pub use extension::ExtensionGrant;
pub(crate) use fingerprint::Fingerprint;
pub use grant::Grant;
pub(crate) use grant_type::{GrantConfig, GrantType};
pub use jwt_bearer::JwtBearerGrant;
pub(crate) use params::Form;
pub use password::PasswordGrant;
pub use refresh_token::RefreshTokenGrant;
pub use secret::{Secret, SecretFile, SecretSource};
pub use token_exchange::TokenExchangeGrant;
pub(crate) use voipex::read_exchanged;

/// Kinds `K` of a [`Grant`], as in the compiler's messages. Use the grants by their
/// own names.
#[doc(hidden)]
pub mod kind {
    pub use super::client_credentials::ClientCredentials;
    pub use super::extension::Extension;
    pub use super::jwt_bearer::JwtBearer;
    pub use super::password::Password;
    pub use super::refresh_token::Refresh;
    pub use super::token_exchange::TokenExchange;
}
