//! The layer: attaches the token on the way out and reads a rejection on the way
//! back.

mod error;
mod future;
mod layer;
mod message;
mod pending;
mod readiness;
mod rejection;
mod replay;
#[cfg(feature = "reqwest-middleware")]
pub(crate) mod reqwest_middleware;
mod response;
mod send;
mod service;
mod slow;
mod state;

pub use error::Error;
pub use future::ResponseFuture;
pub use layer::BearerAuthLayer;
#[cfg(feature = "accounts")]
pub(crate) use message::has_authorization;
pub use message::{HttpRequest, HttpResponse};
#[cfg(feature = "accounts")]
pub(crate) use pending::Replay;
#[cfg(feature = "accounts")]
pub(crate) use readiness::Inner;
pub use rejection::{
    Grpc, GrpcBody, InBody, Rejection, RejectionPolicy, SentToken, Statuses, Unauthorized, When,
};
pub use replay::{BufferBody, BufferedBody, CloneBody, EmptyBody, NoReplay, ReplayPolicy};
#[cfg(feature = "accounts")]
pub(crate) use response::Attempt;
pub use response::Outcome;
#[cfg(feature = "accounts")]
pub(crate) use send::{
    Fast, Policies, attach_copied, attach_fast, call, fail, pass_through, send_after, send_slow,
};
pub use service::BearerAuth;
