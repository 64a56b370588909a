//! The server's metadata (OpenID Connect Discovery; RFC 8414).

use bytes::Bytes;
use http::header::ALLOW;
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::counts::add;
use super::refusal::Refusal;
use super::reply::with_type;
use super::shared::Shared;

const PATHS: [&str; 2] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
];

/// Returns whether this is the path of a metadata document.
pub(super) fn is_metadata(path: &str) -> bool {
    PATHS.contains(&path)
}

pub(super) fn metadata(shared: &Shared, method: &Method) -> Response<Bytes> {
    if method != Method::GET {
        let (status, what) = (
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTP 405 Method Not Allowed",
        );
        let refusal = Refusal::new(status, what, "Only GET is allowed");
        return refusal.with_header(ALLOW, "GET").into();
    }
    add(&shared.counters.discovery_requests);
    let issuer = &shared.issuer;
    let metadata = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "revocation_endpoint": format!("{issuer}/revoke"),
    });
    let body = metadata.to_string().into();
    with_type(StatusCode::OK, Some("application/json"), body)
}
