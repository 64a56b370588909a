//! A tower layer for programs that call an HTTP API protected by OAuth 2.0
//! bearer tokens.
//!
//! [`BearerAuthLayer`] attaches a valid token to each request. One token request
//! serves any number of callers, tokens are renewed before they expire, and when
//! the API rejects one, the request is sent once more with a newer one.
//!
//! # Getting started
//!
//! A grant fetches tokens for an account, a [`TokenCache`] keeps them, and the
//! layer sends them to the [`Origins`] that may see them. Here the client is
//! `testing::TokenServer` in this process; it could be hyper-util's, reqwest's,
//! tonic's or any other tower service. For VoIPex the account is
//! [`PasswordGrant::voipex`].
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_bearer::testing::TokenServer;
//! use tower_bearer::{BearerAuthLayer, Origins, Outcome, TokenCache};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TokenServer::builder().in_process();
//! let account = server.grant();
//! let client = server.service();
//!
//! let tokens = TokenCache::new(account);
//! let origins = Origins::only([server.api_url()])?;
//! let layer = BearerAuthLayer::new(tokens, origins);
//! let api = ServiceBuilder::new().layer(layer).service(client);
//!
//! let request = || Request::get("http://localhost/calls").body(Full::<Bytes>::default());
//! let response = api.clone().oneshot(request()?).await?;
//! assert!(response.status().is_success());
//!
//! server.revoke_access_tokens();
//! let response = api.clone().oneshot(request()?).await?;
//! assert!(response.status().is_success());
//! assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
//! assert_eq!(server.token_requests(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! With reqwest-middleware (a feature), the layer is a middleware:
//! `ClientBuilder::new(reqwest::Client::new()).with(layer).build()`, and requests are
//! built as before. Outside a tower stack, [`TokenCache::token`] returns the token
//! itself.
//!
//! # Words
//!
//! Access token, refresh token, grant, client, token endpoint, resource server,
//! challenge and origin are used as in RFC 6749, 6750 and 6454. This crate adds:
//!
//! | word | meaning |
//! |---|---|
//! | fetch | one token request in progress; a cache has one at a time (single flight) |
//! | waiter | a caller that waits for a fetch |
//! | generation | the number of a token: 1 for the first, one higher for each newer one |
//! | due | still valid, and time to renew it |
//! | expired | no longer sent |
//! | refusal | the token endpoint says no to credentials |
//! | rejection | an API says no to a token, usually with a 401 |
//! | replay | sending a request a second time, after a rejection |
//! | lease | the right to fetch, for a while, among the processes that share an account |
//!
//! # Where to look
//!
//! | topic | see |
//! |---|---|
//! | where tokens come from | [`PasswordGrant`], [`grant`] for all others, [`TokenSource`] |
//! | VoIPex: its hosts, and acting for its users | [`Origins::voipex`], [`VoipexImpersonation`] |
//! | a source configured in a file or the environment | `config`, a feature |
//! | using another HTTP client for the token endpoint | [`transport`] |
//! | when tokens are renewed, how long callers wait | [`TokenCacheBuilder`] |
//! | the current status, for a readiness probe | [`TokenCache::ready`], [`TokenCache::status`], [`TokenCache::watch`] |
//! | many accounts in one process | `accounts`, a feature |
//! | many processes on one account | [`store`] |
//! | which responses reject a token, other than a 401 | [`Rejection`] |
//! | which requests are replayed then | [`ReplayPolicy`] |
//! | what the layer did about a 401 | [`Outcome`] |
//! | errors | [`Error`], [`TokenError`], [`TokenErrorKind`] |
//! | tests of your own program | `testing`, a feature |
//!
//! The module `guide`, in the documentation with all features, has guides to hyper,
//! reqwest, axum and tonic, to VoIPex, grants, configuration, stacks, tests and
//! operations, and to code that does not compile.
//!
//! # Features
//!
//! - `reqwest` (default): a ready-made HTTP client for the token endpoint, with
//!   rustls, and the layer over `reqwest::Client`.
//! - `http2`, `socks`: that client supports HTTP/2 and SOCKS proxies.
//! - `reqwest-middleware`: the layer is a `reqwest_middleware::Middleware`.
//! - `config`: `config::SourceConfig`, a source from TOML, YAML, JSON or the
//!   environment.
//! - `private-key-jwt`: `grant::PrivateKey`, client assertions signed with a key
//!   from PEM.
//! - `file-store`: `store::FileStore`, for processes on one machine that share an
//!   account, at the same time or one after the other.
//! - `keyring`: that store's key comes from the platform's keyring.
//! - `redis`: `store::RedisStore`, for processes that share an account.
//! - `accounts`: `Accounts`, the token caches of many accounts by key, and
//!   `AccountsLayer`.
//! - `tracing`, `metrics`: spans, events and metrics.
//! - `testing`: `testing::TokenServer`, a token endpoint and a protected API.
//!
//! A feature adds to the API and never changes existing behaviour.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "accounts")]
pub mod accounts;
mod auth;
mod cache;
#[cfg(feature = "config")]
pub mod config;
mod error;
pub mod grant;
// `tests/guide` tests its code, because it has the clients that the guide uses.
#[cfg(all(
    doc,
    not(doctest),
    feature = "accounts",
    feature = "config",
    feature = "file-store",
    feature = "metrics",
    feature = "redis",
    feature = "reqwest-middleware",
    feature = "testing",
    feature = "tracing"
))]
pub mod guide;
mod origins;
mod patience;
mod plain_http;
mod secret_file;
mod source;
pub mod store;
mod sync;
mod task;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
pub mod transport;
mod voipex;

/// Kinds of [`Rejection`], for naming a type such as
/// `BearerAuth<Channel, BufferBody<Body>, Rejection<Grpc>>`.
pub mod rejection {
    pub use crate::auth::{Grpc, GrpcBody, InBody, Statuses, Unauthorized, When};
}

#[cfg(feature = "accounts")]
pub use accounts::{Accounts, AccountsLayer};
pub use auth::{
    BearerAuth, BearerAuthLayer, BufferBody, BufferedBody, CloneBody, EmptyBody, Error,
    HttpRequest, HttpResponse, NoReplay, Outcome, Rejection, RejectionPolicy, ReplayPolicy,
    ResponseFuture, SentToken,
};
pub use cache::{Renewal, Status, StatusWatch, TokenCache, TokenCacheBuilder};
pub use error::{BoxError, ConfigError, TokenError, TokenErrorKind};
pub use grant::PasswordGrant;
pub use origins::{OriginUrl, Origins};
pub use plain_http::{PlainHttp, allow_plain_http};
pub use source::{BoxTokenSource, TokenSource};
pub use token::{AccessToken, RefreshToken, TokenResponse};
pub use voipex::VoipexImpersonation;

/// Compiles the README's code, and runs it where possible.
#[cfg(all(doctest, feature = "testing", feature = "reqwest-middleware"))]
#[doc = include_str!("../README.md")]
mod readme {}
