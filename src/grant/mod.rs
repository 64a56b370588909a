//! OAuth 2.0 grants: sources of tokens that ask a token endpoint.
//!
//! [`PasswordGrant`] is RFC 6749, section 4.3. Every grant posts a form to a
//! token endpoint (section 3.2) through a [transport](crate::transport), and
//! judges the answer alike:
//!
//! | answer | kind of error |
//! |---|---|
//! | 2xx with a bearer token | none |
//! | an `error` of `temporarily_unavailable`, `server_error` or `slow_down`, with any status | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | another `error` of RFC 6749, section 5.2, or `access_denied`, with any status, 429 and 5xx too | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 408, 425, 429 or 5xx otherwise | [`Unavailable`](crate::TokenErrorKind::Unavailable) |
//! | any other 4xx, readable or not | [`Refused`](crate::TokenErrorKind::Refused) |
//! | 2xx with no `access_token` but an `error` | [`Refused`](crate::TokenErrorKind::Refused) |
//! | anything else | [`Malformed`](crate::TokenErrorKind::Malformed) |
//!
//! So the `error` member rules and the status comes second: servers differ in
//! their statuses, and a credential that was refused under a 429 or a 503 is
//! refused all the same. Where in doubt, it was refused, for a wrong password
//! that is tried again and again locks an account.

mod client;
mod encode;
mod ending;
mod endpoint;
mod members;
mod password;
mod refusal;
mod request;
mod response;
mod retry_after;
mod voipex;

pub use client::ClientAuth;
pub use password::PasswordGrant;
