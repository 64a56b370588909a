//! What a response says of the token that was sent.

use http::{HeaderMap, StatusCode};

use crate::auth::rejection::challenge::is_rejection;

const GRPC_STATUS: &str = "grpc-status";

/// What the head of a response says of the token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The API took the token.
    Accepted,
    /// Nothing yet: the body may say it.
    Undecided,
    /// A newer token may help.
    Rejected,
    /// A 401 that a newer token would not help against.
    Unrelated,
}

/// A 401 is a rejection or unrelated; what else there is says `other`.
pub(super) fn unless_401(
    status: StatusCode,
    headers: &HeaderMap,
    other: impl FnOnce() -> Verdict,
) -> Verdict {
    match status {
        StatusCode::UNAUTHORIZED if is_rejection(headers) => Verdict::Rejected,
        StatusCode::UNAUTHORIZED => Verdict::Unrelated,
        _ => other(),
    }
}

pub(super) fn rejected_if(rejected: bool) -> Verdict {
    match rejected {
        true => Verdict::Rejected,
        false => Verdict::Accepted,
    }
}

/// What a gRPC status says, in the first headers or in trailers. Without one it is
/// yet to come.
pub(super) fn grpc_status(headers: &HeaderMap) -> Verdict {
    match headers.get(GRPC_STATUS).map(|status| status.as_bytes()) {
        Some(b"16") => Verdict::Rejected,
        // Unavailable: often from a proxy, which has read no token.
        Some(b"14") | None => Verdict::Undecided,
        Some(_) => Verdict::Accepted,
    }
}
