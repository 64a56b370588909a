//! What an answer of an API says of the token that was sent: the decision, without
//! I/O, and what is read later than the head of the response.

mod challenge;
mod grpc;
mod policy;
mod sent_token;
mod trailers;

pub(crate) use policy::Verdict;
pub use policy::{Grpc, InBody, Rejection, RejectionPolicy, Statuses, Unauthorized, When};
pub use sent_token::SentToken;
pub use trailers::GrpcBody;
