//! How the token endpoint says no.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::reply::error;

/// A refusal: status, `error`, `error_description`, perhaps a header.
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    header: Option<(HeaderName, &'static str)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, description: &'static str) -> Self {
        Self {
            status,
            code,
            description,
            header: None,
        }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl From<Refusal> for Response<Bytes> {
    fn from(refusal: Refusal) -> Self {
        let mut response = error(refusal.status, refusal.code, refusal.description);
        if let Some((name, value)) = refusal.header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}
