//! Where a token may be sent.

mod origin;
#[allow(clippy::module_inception, reason = "the file of the type `Origins`")]
mod origins;

pub(crate) use origin::OriginId;
pub use origin::OriginUrl;
pub use origins::Origins;
