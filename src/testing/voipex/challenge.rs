//! How a token that is not valid is answered.

/// How the API of a [`TokenServer`](crate::testing::TokenServer), and VoIPex's exchange,
/// answer a token that is not valid: with 401 in either case. Which of them VoIPex does
/// is not documented. Set by
/// [`challenge`](crate::testing::TokenServerBuilder::challenge).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// As Keycloak: `Bearer realm="…", error="invalid_token", error_description="…"`.
    #[default]
    Keycloak,
    /// As hapi with its plugin hapi-auth-jwt2 11.0.0: `Token error="Expired token"`,
    /// and JSON that says the same. The scheme is not `Bearer`.
    Hapi,
}

impl Challenge {
    /// Returns the challenge to an invalid token, and the body.
    pub(in crate::testing) fn to_invalid_token(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::Keycloak => (
                "Bearer realm=\"voipex\", error=\"invalid_token\", \
                 error_description=\"The token is not active\"",
                b"{\"error\":\"invalid_token\"}",
            ),
            Self::Hapi => (
                "Token error=\"Expired token\"",
                b"{\"statusCode\":401,\"error\":\"Unauthorized\",\"message\":\"Expired token\",\
                  \"attributes\":{\"error\":\"Expired token\"}}",
            ),
        }
    }

    /// Returns the challenge to a request without a token, and the body.
    pub(in crate::testing) fn to_no_token(self) -> (&'static str, &'static [u8]) {
        match self {
            // Without a token there is no error code (RFC 6750, section 3.1).
            Self::Keycloak => ("Bearer", b""),
            Self::Hapi => (
                "Token",
                b"{\"statusCode\":401,\"error\":\"Unauthorized\",\
                  \"message\":\"Missing authentication\"}",
            ),
        }
    }
}
