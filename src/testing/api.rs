//! The protected API.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::reply::with_type;
use super::shared::Shared;

const JSON: Option<&str> = Some("application/json");

/// Responds with 200 to a valid token, else with 401.
pub(super) fn respond(shared: &Shared, headers: &HeaderMap) -> Response<Bytes> {
    refusal(shared, headers)
        .unwrap_or_else(|| with_type(StatusCode::OK, JSON, Bytes::from_static(b"{\"ok\":true}")))
}

/// Responds with the request's own body to a valid token, else with 401.
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

/// Returns the 401 for a request without a valid token.
pub(super) fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let challenge = shared.config.challenge;
    let Some(value) = headers.get(AUTHORIZATION) else {
        let (challenge, body) = challenge.to_no_token();
        return Some(unauthorized(challenge, body));
    };
    if bearer(value.as_bytes()).is_some_and(|token| shared.read().is_live(token)) {
        return None;
    }
    let (challenge, body) = challenge.to_invalid_token();
    Some(unauthorized(challenge, body))
}

/// Returns the token of an `Authorization` header.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

fn unauthorized(challenge: &'static str, body: &'static [u8]) -> Response<Bytes> {
    let content_type = if body.is_empty() { None } else { JSON };
    let body = Bytes::from_static(body);
    let mut response = with_type(StatusCode::UNAUTHORIZED, content_type, body);
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
