//! How the API rejects a token.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::reply::with_type;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC: &str = "application/grpc";
const JSON: Option<&str> = Some("application/json");

/// How the API of a [`TokenServer`](super::TokenServer), and VoIPex's
/// exchange, reject a token. VoIPex does not document which of these it uses. See
/// [`TokenServerBuilder::api_rejection`](super::TokenServerBuilder::api_rejection).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiRejection {
    /// 401 with a Bearer challenge (RFC 6750, section 3). The default.
    #[default]
    BearerChallenge,
    /// 401 with `WWW-Authenticate: Token error="Expired token"` and JSON that says
    /// the same, like hapi-auth-jwt2.
    TokenChallenge,
    /// 403 without a challenge, like Django REST framework with
    /// `SessionAuthentication`, NestJS' guards and salvo.
    Forbidden,
    /// 200 with `grpc-status: 16` in the first headers, like tonic's interceptors. A
    /// valid token gets an empty message and `grpc-status: 0` in the trailers, which
    /// is a response of any message type.
    GrpcStatus,
    /// 200 with an empty message and then `grpc-status: 16` in the trailers, like a
    /// gRPC server that checks the token while it responds.
    GrpcTrailers,
    /// 200 with a JSON error whose code is `UNAUTHENTICATED`, like GraphQL servers.
    GraphqlError,
}

/// Extension of a response that rejects a token, whatever its status.
#[derive(Clone, Copy)]
pub(super) struct Rejected;

/// Extension of a response with trailers.
#[derive(Clone)]
pub(super) struct Trailers(pub(super) HeaderMap);

impl ApiRejection {
    /// Returns the response to a valid token.
    pub(super) fn accepts(self) -> Response<Bytes> {
        match self {
            Self::GrpcStatus | Self::GrpcTrailers => grpc_message("0"),
            Self::GraphqlError => json(StatusCode::OK, b"{\"data\":{\"ok\":true}}"),
            _ => json(StatusCode::OK, b"{\"ok\":true}"),
        }
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
            Self::Forbidden => json(
                StatusCode::FORBIDDEN,
                b"{\"detail\":\"Authentication credentials were not provided.\"}",
            ),
            Self::GrpcStatus => {
                let mut response = with_type(StatusCode::OK, Some(GRPC), Bytes::new());
                let code = HeaderValue::from_static("16");
                response.headers_mut().insert(GRPC_STATUS, code);
                response
            }
            Self::GrpcTrailers => grpc_message("16"),
            Self::GraphqlError => json(
                StatusCode::OK,
                b"{\"errors\":[{\"message\":\"invalid token\",\
                  \"extensions\":{\"code\":\"UNAUTHENTICATED\"}}]}",
            ),
        };
        let challenge = match self {
            Self::BearerChallenge if has_token => Some(
                "Bearer realm=\"voipex\", error=\"invalid_token\", \
                 error_description=\"The token is not active\"",
            ),
            Self::BearerChallenge => Some("Bearer"),
            Self::TokenChallenge if has_token => Some("Token error=\"Expired token\""),
            Self::TokenChallenge => Some("Token error=\"token is null\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            let value = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        response.extensions_mut().insert(Rejected);
        response
    }
}

fn json(status: StatusCode, body: &'static [u8]) -> Response<Bytes> {
    with_type(status, JSON, Bytes::from_static(body))
}

/// Returns a message of length 0, with a status in the trailers.
fn grpc_message(code: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(&[0; 5]));
    let content_type = HeaderValue::from_static(GRPC);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    response.extensions_mut().insert(Trailers(trailers));
    response
}
