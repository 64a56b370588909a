//! The exchange of an API access's token for a user's.
//!
//! The request is VoIPex's. Its responses and refusals are not documented: they are
//! assumed here.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use super::api::error;
use crate::testing::api::{bearer, refusal};
use crate::testing::counts::add;
use crate::testing::grants::issue;
use crate::testing::mint::uuid;
use crate::testing::reply::Edit;
use crate::testing::shared::Shared;

/// Responds to a request; `body` is `None` if it could not be read.
pub(in crate::testing) fn respond(
    shared: &Shared,
    head: &Parts,
    body: Option<&[u8]>,
    edits: &[Edit],
) -> Response<Bytes> {
    if head.method != Method::POST {
        return error(StatusCode::NOT_FOUND, "Not Found");
    }
    if let Some(refusal) = refusal(shared, &head.headers) {
        return refusal;
    }
    let body: Option<Value> = body.and_then(|body| serde_json::from_slice(body).ok());
    let login = body.as_ref().and_then(|body| body["email"].as_str());
    let Some(login) = login.filter(|login| !login.is_empty()) else {
        return error(StatusCode::BAD_REQUEST, "\"email\" is required");
    };
    let token = head.headers.get(AUTHORIZATION);
    let token = token.and_then(|value| bearer(value.as_bytes()));
    let mut state = shared.write();
    let account = token.and_then(|token| state.user_of(token));
    let account = account.and_then(|name| state.users.get(name));
    if !account.is_some_and(|account| account.impersonates) {
        return error(StatusCode::FORBIDDEN, "Impersonation is not enabled");
    }
    if state.users.get(login).is_none_or(|user| user.disabled) {
        return error(StatusCode::NOT_FOUND, "User not found");
    }
    let session = state.open_session(login, uuid(), shared.config.access_lifetime);
    let mut ticket = state.ticket(Some(session));
    ticket.refreshable = shared.config.exchange_refresh_tokens;
    drop(state);
    add(&shared.counters.exchanges);
    let mut members = issue(shared, ticket);
    members.add("scope", "profile email");
    members.edit(edits);
    members.into_response()
}
