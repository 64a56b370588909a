//! The protected API.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Response};

use super::shared::Shared;

/// Responds with 200 to a valid token, otherwise with a rejection.
pub(super) fn respond(shared: &Shared, headers: &HeaderMap) -> Response<Bytes> {
    refusal(shared, headers).unwrap_or_else(|| shared.config.api_rejection.accepts())
}

/// Responds with the request's own body to a valid token, otherwise with a
/// rejection.
pub(super) fn echo(shared: &Shared, headers: &HeaderMap, body: Bytes) -> Response<Bytes> {
    refusal(shared, headers).unwrap_or_else(|| echo_unchecked(headers, body))
}

/// Responds with the request's own body.
pub(super) fn echo_unchecked(headers: &HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    if let Some(value) = headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, value.clone());
    }
    response
}

/// Returns the rejection of a request without a valid token.
pub(super) fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let rejects = |has_token| Some(shared.config.api_rejection.rejects(has_token));
    let Some(value) = headers.get(AUTHORIZATION) else {
        return rejects(false);
    };
    if bearer(value.as_bytes()).is_some_and(|token| shared.read().is_live(token)) {
        return None;
    }
    rejects(true)
}

/// Returns the token of an `Authorization` header.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}
