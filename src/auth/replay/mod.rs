//! Which requests can be sent a second time, and what is kept of them.

mod buffer_body;
mod buffered;
mod kept;
mod policy;

pub use buffer_body::BufferBody;
pub use buffered::BufferedBody;
pub use policy::{CloneBody, EmptyBody, NoReplay, ReplayPolicy};
