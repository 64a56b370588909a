//! Responses of the authorization server: JSON objects and errors.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

/// A change to one member of a token response: another value, or none.
#[derive(Clone)]
pub(super) struct Edit {
    name: String,
    json: Option<String>,
}

impl Edit {
    pub(super) fn new(name: &str, json: Option<String>) -> Self {
        Self {
            name: name.to_owned(),
            json,
        }
    }
}

/// A JSON object whose members keep their order. Values are raw text, so that a mock
/// response can make them invalid.
pub(super) struct Members(Vec<(Cow<'static, str>, String)>);

impl Members {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, name: &'static str, value: impl Into<serde_json::Value>) {
        self.0.push((name.into(), value.into().to_string()));
    }

    pub(super) fn edit(&mut self, edits: &[Edit]) {
        for edit in edits {
            let old = self.0.iter().position(|(name, _)| *name == edit.name);
            match (old, &edit.json) {
                (Some(at), Some(json)) => self.0[at].1.clone_from(json),
                (Some(at), None) => drop(self.0.remove(at)),
                (None, Some(json)) => self.0.push((edit.name.clone().into(), json.clone())),
                (None, None) => {}
            }
        }
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let members: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| format!("{}:{value}", json!(name)))
            .collect();
        no_store(with_type(
            StatusCode::OK,
            Some("application/json"),
            format!("{{{}}}", members.join(",")).into(),
        ))
    }
}

/// Returns a response with a body and an optional content type.
pub(super) fn with_type(
    status: StatusCode,
    content_type: Option<&'static str>,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        let value = HeaderValue::from_static(content_type);
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// Returns an OAuth 2.0 error (RFC 6749, section 5.2). An empty description is left out.
pub(super) fn error(status: StatusCode, code: &str, description: &str) -> Response<Bytes> {
    let mut body = json!({ "error": code });
    if !description.is_empty() {
        body["error_description"] = description.into();
    }
    let body = body.to_string();
    no_store(with_type(status, Some("application/json"), body.into()))
}

/// Turns a JSON object into a form. Any other text from a mock response stays as it
/// is.
pub(super) fn as_form(mut response: Response<Bytes>) -> Response<Bytes> {
    let Ok(members) = serde_json::from_slice::<Map<String, Value>>(response.body()) else {
        return response;
    };
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &members {
        match value {
            Value::String(text) => form.append_pair(name, text),
            other => form.append_pair(name, &other.to_string()),
        };
    }
    *response.body_mut() = form.finish().into();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    response.headers_mut().insert(CONTENT_TYPE, form);
    response
}

/// Forbids caching, as RFC 6749, section 5.1, requires of token responses.
fn no_store(mut response: Response<Bytes>) -> Response<Bytes> {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, value);
    response
}

/// Converts a status.
///
/// # Panics
///
/// Panics if it is not an HTTP status.
pub(super) fn status_code(status: impl TryInto<StatusCode>) -> StatusCode {
    match status.try_into() {
        Ok(status) => status,
        Err(_) => panic!("not an HTTP status, which is 100 to 999"),
    }
}
