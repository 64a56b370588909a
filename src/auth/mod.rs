//! The layer: attaches the token on the way out and reads a 401 on the way
//! back.

mod challenge;
mod error;
mod future;
mod layer;
mod message;
mod outcome;
mod replay;
mod send;
mod service;

pub use error::Error;
pub use future::ResponseFuture;
pub use layer::BearerAuthLayer;
#[cfg(feature = "accounts")]
pub(crate) use message::{RequestMessage, ResponseMessage};
pub use outcome::Outcome;
#[cfg(feature = "reqwest-middleware")]
pub(crate) use outcome::{Next, Sent};
pub use replay::{CloneBody, EmptyBody, Never, ReplayPolicy};
#[cfg(feature = "accounts")]
pub(crate) use send::{send, send_without};
pub use service::BearerAuth;
