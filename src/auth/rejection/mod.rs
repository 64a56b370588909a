//! What an API's response means for the token that was sent: the decision, without
//! I/O, and what is read after the head of the response.

mod challenge;
mod policy;
mod sent_token;
mod trailers;
mod verdict;

pub use policy::{Grpc, InBody, Rejection, RejectionPolicy, Statuses, Unauthorized, When};
pub use sent_token::SentToken;
pub use trailers::GrpcBody;
pub(crate) use verdict::Verdict;
