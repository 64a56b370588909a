//! A server for tests: a token endpoint, and an API that accepts its tokens.
//!
//! [`TokenServer`] behaves like VoIPex, whose authorization server is Keycloak. It
//! checks credentials, issues, refreshes and rotates tokens, and its API responds to
//! valid tokens with 200 and to everything else with 401, or with another
//! [`ApiRejection`]. [`Counts`] counts the requests; [`MockResponse`] replaces the
//! responses.
//!
//! | path | endpoint |
//! |---|---|
//! | `POST /token` | the token endpoint, with the grants `password`, `refresh_token`, `client_credentials`, JWT bearer and token exchange |
//! | `POST /logout` | ends the session of a `refresh_token`; 204 |
//! | `POST /revoke` | revokes a `token` of either kind; 200 |
//! | `POST /token-exchange` | [VoIPex's exchange](#voipex): a user's token for that of an API access |
//! | `GET /.well-known/openid-configuration` and `…/oauth-authorization-server` | the server's metadata; its issuer is [`api_url`](TokenServer::api_url) |
//! | all others | the API: 200 and `{"ok":true}` for a valid token, else 401; or [VoIPex's](#voipex) |
//!
//! # Your program
//!
//! Let your functions take a [`TokenCache`](crate::TokenCache): it is the same type
//! for every grant, and for [`TokenServer::grant`]. Take any tower service as the
//! client, or a `reqwest::Client` with the server on a [socket](#on-a-socket):
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, Layer, Service, ServiceExt};
//! use tower_bearer::testing::TokenServer;
//! use tower_bearer::{BearerAuthLayer, Origins, TokenCache};
//!
//! /// The program: it asks its API for something.
//! async fn is_up<C, B>(client: C, tokens: TokenCache, url: &str) -> Result<bool, BoxError>
//! where
//!     C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
//!     C::Error: std::error::Error + Send + Sync + 'static,
//!     B: http_body::Body,
//! {
//!     let api = BearerAuthLayer::new(tokens, Origins::only([url])?).layer(client);
//!     let request = Request::get(format!("{url}/calls")).body(Full::default())?;
//!     let response = api.oneshot(request).await?;
//!     Ok(response.status().is_success())
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! // A test of it.
//! let server = TokenServer::builder().in_process();
//! let tokens = TokenCache::new(server.grant());
//! assert!(is_up(server.service(), tokens, server.api_url()).await?);
//! # Ok(())
//! # }
//! ```
//!
//! # Mock responses
//!
//! The token endpoint and the API each have a queue of responses, and a default for
//! when the queue is empty. Without either, the server sends its own response.
//!
//! ```
//! use std::time::Duration;
//! use tower_bearer::testing::{MockResponse, TokenServer};
//! use tower_bearer::{TokenCache, TokenErrorKind};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TokenServer::builder().in_process();
//! server.token_endpoint().enqueue([
//!     MockResponse::status(503).retry_after("120").after(Duration::from_secs(5)),
//! ]);
//! server.api().set_default(MockResponse::unauthorized(["Bearer error=\"invalid_token\""]));
//!
//! let tokens = TokenCache::new(server.grant());
//! let error = tokens.token().await.unwrap_err();
//! assert_eq!(error.kind(), TokenErrorKind::Unavailable);
//!
//! tokio::time::sleep(error.retry_after().unwrap()).await;
//! tokens.token().await?;
//! assert_eq!(server.counts().password_grants, 1);
//! # Ok(())
//! # }
//! ```
//!
//! A wrong password needs no mock response: see [`TokenServer::grant_for`].
//!
//! # VoIPex
//!
//! An API access marked as an [`impersonator`](TokenServerBuilder::impersonator) may
//! exchange its token for that of any user. [`TokenServer::impersonation`] is a
//! source that does so:
//!
//! ```
//! use tower_bearer::TokenCache;
//! use tower_bearer::testing::TokenServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_bearer::TokenError> {
//! let server = TokenServer::builder()
//!     .user("api@company.example", "secret")
//!     .impersonator("api@company.example")
//!     .user("anna@company.example", "hers")
//!     .in_process();
//! let access = TokenCache::new(server.grant());
//! let anna = TokenCache::new(server.impersonation(&access, "anna@company.example"));
//! anna.token().await?;
//! assert_eq!((server.counts().password_grants, server.counts().exchanges), (1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! VoIPex does not document the exchange's responses, so the following is assumed: a
//! token response like that of the token endpoint; for an invalid token the same 401
//! as the API's ([`ApiRejection`]); 403 without impersonation, 404 for an unknown or
//! disabled user, 400 for anything but `{"email":"…"}`, each with hapi's JSON.
//!
//! With [`voipex_api`](TokenServerBuilder::voipex_api) the API has the documented
//! paths of VoIPex's APIs, in JSON: `GET /calls`, `GET /ivr`,
//! `POST /dialer/call-lists`, `GET /SMS`, `GET /SMS/allowed-numbers`, `POST /SMS` and
//! `POST /v1/sms`. The requests and the responses to `/ivr` and `/dialer/call-lists`
//! are those of its documentation; the other responses are assumed.
//!
//! # In process
//!
//! Without sockets the server is a tower service that uses tokio's time: with paused
//! time a test of hours takes milliseconds. Pause before the first token is fetched
//! (`start_paused = true`): a cache that fetched its token before that uses the
//! machine's clock for a while.
//!
//! ```
//! use std::time::Duration;
//! use tower_bearer::TokenCache;
//! use tower_bearer::testing::TokenServer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_bearer::TokenError> {
//! let server = TokenServer::builder()
//!     .user("me@example.com", "secret")
//!     .in_process();
//! let tokens = TokenCache::new(server.grant());
//! for _hour in 0..24 {
//!     tokens.token().await?;
//!     tokio::time::sleep(Duration::from_secs(3600)).await;
//! }
//! assert!(server.token_requests() >= 24);
//! # Ok(())
//! # }
//! ```
//!
//! # On a socket
//!
//! [`TokenServer::start`] serves the same on a free port of 127.0.0.1, over HTTP/1.1
//! and HTTP/2 without TLS, for whole programs and real clients such as
//! `reqwest::Client`. Do not pause time there: it would run ahead of the sockets.
//!
//! ```
//! use http::{Request, StatusCode};
//! use http_body_util::Empty;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_bearer::testing::TokenServer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TokenServer::start().await?;
//! let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
//!
//! let url = format!("{}/calls", server.api_url());
//! let response = client.request(Request::get(url).body(Empty::new())?).await?;
//! assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(server.counts().api_unauthorized, 1);
//! # Ok(())
//! # }
//! ```

mod api;
mod api_rejection;
mod assertion;
mod body;
mod builder;
mod counts;
mod discovery;
mod endpoint;
mod form;
mod grants;
mod listen;
mod mint;
mod mock_response;
mod refusal;
mod reply;
mod response_queue;
mod send;
mod server;
mod service;
mod shared;
mod state;
mod voipex;

pub use api_rejection::ApiRejection;
pub use body::MockBody;
pub use builder::TokenServerBuilder;
pub use counts::Counts;
pub use mock_response::MockResponse;
pub use response_queue::MockEndpoint;
pub use server::TokenServer;
#[doc(hidden)]
pub use service::MockResponseFuture;
pub use service::TokenService;
