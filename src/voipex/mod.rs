//! VoIPex's own exchange, with which an API access acts for a user.

mod account;
mod exchange;
mod impersonation;

pub use impersonation::VoipexImpersonation;
#[cfg(feature = "config")]
pub(crate) use impersonation::token_endpoint;
