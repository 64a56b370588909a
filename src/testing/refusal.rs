//! How the token endpoint refuses a request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::reply::error;

/// A refusal: status, `error`, `error_description` and an optional header.
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

/// Why a refresh token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshError {
    Unknown,
    Expired,
    Stale,
    NoSession,
    Detached,
    UserDisabled,
    /// Rotation replaced it, and it is the one that was used last.
    Reused,
    /// Rotation replaced it earlier.
    ReusedLate,
}

impl RefreshError {
    /// Returns Keycloak's `error_description`.
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Unknown => "Invalid refresh token",
            Self::Expired => "Token is not active",
            Self::Stale | Self::ReusedLate => "Stale token",
            Self::NoSession => "Session not active",
            Self::Detached => "Session doesn't have required client",
            Self::UserDisabled => "User disabled",
            Self::Reused => "Maximum allowed refresh token reuse exceeded",
        }
    }
}
