//! How the API rejects a token.

use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Response, StatusCode};

use super::reply::with_type;

const JSON: Option<&str> = Some("application/json");

/// How the API of a [`TokenServer`](super::TokenServer), and VoIPex's exchange, reject a
/// token. Which of these VoIPex does is not documented. See
/// [`TokenServerBuilder::api_rejection`](super::TokenServerBuilder::api_rejection).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiRejection {
    /// 401 with a challenge of the scheme Bearer (RFC 6750, section 3), as Keycloak. The
    /// default.
    #[default]
    BearerChallenge,
    /// 401 with `WWW-Authenticate: Token error="Expired token"` and JSON that says the
    /// same, as hapi-auth-jwt2.
    TokenChallenge,
}

impl ApiRejection {
    /// Returns the response to a valid token.
    pub(super) fn accepts(self) -> Response<Bytes> {
        json(StatusCode::OK, b"{\"ok\":true}")
    }

    /// Returns the response to an invalid token, or to none.
    pub(super) fn rejects(self, has_token: bool) -> Response<Bytes> {
        let mut response = match self {
            // Without a token there is no error code (RFC 6750, section 3.1).
            Self::BearerChallenge if !has_token => {
                with_type(StatusCode::UNAUTHORIZED, None, Bytes::new())
            }
            Self::BearerChallenge => {
                json(StatusCode::UNAUTHORIZED, b"{\"error\":\"invalid_token\"}")
            }
            Self::TokenChallenge => json(
                StatusCode::UNAUTHORIZED,
                b"{\"statusCode\":401,\"error\":\"Unauthorized\",\"message\":\"Expired token\",\
                  \"attributes\":{\"error\":\"Expired token\"}}",
            ),
        };
        let challenge = match self {
            Self::BearerChallenge if has_token => {
                "Bearer realm=\"voipex\", error=\"invalid_token\", \
                 error_description=\"The token is not active\""
            }
            Self::BearerChallenge => "Bearer",
            Self::TokenChallenge if has_token => "Token error=\"Expired token\"",
            Self::TokenChallenge => "Token error=\"token is null\"",
        };
        let value = HeaderValue::from_static(challenge);
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
        response
    }
}

fn json(status: StatusCode, body: &'static [u8]) -> Response<Bytes> {
    with_type(status, JSON, Bytes::from_static(body))
}
