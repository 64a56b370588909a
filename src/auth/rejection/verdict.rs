//! What a response means for the token that was sent.

use http::{HeaderMap, StatusCode};

use crate::auth::rejection::challenge::is_rejection;

const GRPC_STATUS: &str = "grpc-status";

/// What the head of a response means for the token that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The API accepted the token.
    Accepted,
    /// Not known yet: the body may tell.
    Undecided,
    /// A newer token may help.
    Rejected,
    /// A 401 that a newer token would not fix.
    Unrelated,
}

/// Decides for a 401; `other` decides for any other response.
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

/// Decides by the gRPC status, in the first headers or in trailers. Without one it
/// is still to come.
pub(super) fn grpc_status(headers: &HeaderMap) -> Verdict {
    match headers.get(GRPC_STATUS).map(|status| status.as_bytes()) {
        Some(b"16") => Verdict::Rejected,
        // Unavailable: often from a proxy, which has not read the token.
        Some(b"14") | None => Verdict::Undecided,
        Some(_) => Verdict::Accepted,
    }
}
