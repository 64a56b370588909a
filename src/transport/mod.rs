//! How a grant reaches its token endpoint: any tower
//! `Service<http::Request<Full<Bytes>>>`.
//!
//! With the feature `reqwest` (in the default set) [`DefaultTransport`] is one
//! and a grant needs nothing else. Another client, an in-process router, or a
//! stack with timeouts and TLS of one's own is given to a grant by its
//! `transport` method:
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
//! The service sees one request for each token, and one more for each redirect
//! that is followed: 307 and 308 within the endpoint's own origin. So a
//! transport must not follow redirects by itself, or it takes the password
//! along to wherever it is sent.

mod body;
mod default;
mod redact;
mod redirect;
mod request;
#[cfg(feature = "reqwest")]
mod reqwest;
mod service;

pub use default::DefaultTransport;
pub use service::Transport;

pub(crate) use request::{EndpointRequest, EndpointResponse, Limits, send_request};
