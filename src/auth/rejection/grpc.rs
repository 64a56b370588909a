//! What a gRPC status says of the token.

use http::HeaderMap;

use crate::auth::rejection::policy::Verdict;

const STATUS: &str = "grpc-status";

/// Reads a status in the first headers or in trailers. Without one it is yet to
/// come.
pub(super) fn verdict(headers: &HeaderMap) -> Verdict {
    match headers.get(STATUS).map(|status| status.as_bytes()) {
        Some(b"16") => Verdict::Rejected,
        // Unavailable: often from a proxy, which has read no token.
        Some(b"14") | None => Verdict::Undecided,
        Some(_) => Verdict::Accepted,
    }
}
