//! How a grant reaches its token endpoint: through any tower
//! `Service<http::Request<Full<Bytes>>>`.
//!
//! With the feature `reqwest`, which is enabled by default, a grant uses
//! [`DefaultTransport`]. To use another HTTP client, an in-process router, or a
//! stack with your own timeouts and TLS, pass it to the grant's
//! [`transport`](crate::grant::Grant::transport) method:
//!
//! ```
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower_bearer::PasswordGrant;
//!
//! let service = tower::service_fn(|request: http::Request<Full<Bytes>>| async move {
//!     assert_eq!(request.uri().path(), "/token");
//!     Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"{}"))))
//! });
//! let grant = PasswordGrant::voipex("your@email.com", "password").transport(service);
//! # let _ = grant;
//! ```
//!
//! The service gets one request for each token, and one more for each redirect that
//! is followed: 307 and 308 within the endpoint's own origin. A transport must not
//! follow redirects itself, because it would send the password along.
//!
//! # Idle connections
//!
//! Do not let a transport keep idle connections, unless it retries a request whose
//! connection the server closed: for hyper-util's client set
//! `pool_max_idle_per_host(0)`. Token requests are minutes apart, and close to a
//! server's keep-alive time 5 to 15 of 100 requests on a kept connection fail. Over
//! a new connection, which [`DefaultTransport`] opens for each request, none of 900
//! did.
//!
//! This crate retries a request once, immediately, if the server closed its
//! connection, unless the request holds what a server may accept only once: a
//! refresh token, an assertion, a code; or a password, whose first login may still
//! be in progress. Those too are retried if it is certain that no server has
//! processed them: an HTTP/2 server refused the stream or went away before it (RFC
//! 9113, section 8.7), or nothing was sent yet. For what remains, a failure to
//! connect, the cache tries again soon.

mod body;
mod default;
#[cfg(feature = "reqwest")]
mod pem;
mod redirect;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest;
mod retry;
mod send;
mod service;

pub use default::DefaultTransport;
pub use service::Transport;

pub(crate) use request::{EndpointRequest, EndpointResponse};
pub(crate) use send::{Limits, send_request};
