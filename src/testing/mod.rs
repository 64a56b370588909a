//! A token server to test against: a token endpoint and a protected API in one.
//!
//! [`TokenServer`] speaks the dialect of VoIPex, which is Keycloak's. It checks
//! credentials, issues, refreshes and rotates tokens, lets live tokens into its
//! API and answers all others with 401. [`Counts`] tells what it has seen, and
//! an [`MockResponse`] scripts what goes wrong.
//!
//! | path | what it is |
//! |---|---|
//! | `POST /token` | the token endpoint: grants `password`, `refresh_token`, `client_credentials`, JWT bearer and token exchange |
//! | `POST /logout` | ends the session of a `refresh_token`, 204 |
//! | `POST /revoke` | revokes a `token` of either sort, 200 |
//! | `GET /.well-known/openid-configuration` and `…/oauth-authorization-server` | what the server says of itself; its issuer is [`api_url`](TokenServer::api_url) |
//! | all others | the API: 200 and `{"ok":true}` to a live token, else 401 |
//!
//! # In process
//!
//! Without sockets the server is a tower service, and its time is tokio's. A
//! test under a paused clock lives through hours in no time. Pause it before the
//! first token is fetched (`start_paused = true`): a cache that got its token
//! while time ran goes by the machine's clock until it looks more closely.
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_bearer::testing::{MockResponse, TokenServer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TokenServer::builder()
//!     .user("me@example.com", "secret")
//!     .in_process();
//! server.token_endpoint().enqueue([MockResponse::status(StatusCode::SERVICE_UNAVAILABLE)
//!     .retry_after("120")
//!     .after(Duration::from_secs(5))]);
//!
//! let login = || {
//!     Request::post(server.token_url())
//!         .header("content-type", "application/x-www-form-urlencoded")
//!         .body(String::from(
//!             "client_id=api&username=me%40example.com&password=secret&grant_type=password",
//!         ))
//! };
//! let first = server.service().oneshot(login()?).await?;
//! assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
//! let second = server.service().oneshot(login()?).await?;
//! assert_eq!(second.status(), StatusCode::OK);
//!
//! let counts = server.counts();
//! assert_eq!((counts.token_requests, counts.password_grants), (2, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # On a socket
//!
//! [`TokenServer::start`] serves the same on a free port of 127.0.0.1, over
//! HTTP/1.1 and HTTP/2 without TLS, for whole programs and real clients. Do not
//! pause the clock there: it would run ahead of the sockets.
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
//! let answer = client.request(Request::get(url).body(Empty::new())?).await?;
//! assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(server.counts().api_unauthorized, 1);
//! # Ok(())
//! # }
//! ```

mod api;
mod assertion;
mod body;
mod builder;
mod counts;
mod discovery;
mod endpoint;
mod form;
mod grant;
mod grants;
mod listen;
mod mint;
mod mock_response;
mod refusal;
mod reply;
mod response_queue;
mod server;
mod service;
mod shared;
mod state;

pub use body::MockBody;
pub use builder::TokenServerBuilder;
pub use counts::Counts;
pub use mock_response::MockResponse;
pub use response_queue::MockEndpoint;
pub use server::TokenServer;
#[doc(hidden)]
pub use service::MockResponseFuture;
pub use service::TokenService;
