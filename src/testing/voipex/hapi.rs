//! Responses in JSON, as hapi sends them.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::testing::reply::with_type;

pub(super) fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    let content_type = Some("application/json; charset=utf-8");
    with_type(status, content_type, body.to_string().into())
}

/// Returns an error with its message.
pub(super) fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason(),
        "message": message,
    });
    json(status, &body)
}
