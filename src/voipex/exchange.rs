//! The request to the exchange, and what its response means: pure decisions.
//!
//! VoIPex documents the request, and that an API access without impersonation may
//! not make it. The response is not documented: [`read`] relies on assumptions,
//! which must be replaced here once a real response is known. `testing::TokenServer`
//! makes the same assumptions.

use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use serde::Serializer;
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::{Secret, read_exchanged};
use crate::token::TokenResponse;
use crate::transport::{EndpointRequest, EndpointResponse};

/// The exchange's name in errors.
pub(super) const ENDPOINT_NAME: &str = "the token exchange";

/// The refused credentials, in words.
pub(super) const CREDENTIALS: &str = "login of the user";

/// Writes `{"email":"…"}`, with the added parameters as further members. The body is
/// wiped when its last clone is dropped.
///
/// # Errors
///
/// Fails with [`Config`](TokenErrorKind::Config) if the login is empty.
pub(super) fn body(login: &str, params: &[(&str, Secret)]) -> Result<Bytes, TokenError> {
    let config = |what| TokenError::new(TokenErrorKind::Config, what);
    if login.trim().is_empty() {
        return Err(config("the login of the user to act for is empty"));
    }
    let members = || {
        let params = params.iter().map(|(name, value)| (*name, value.secret()));
        [("email", login)].into_iter().chain(params)
    };
    // An escaped byte takes six, so this is enough: a buffer that grows leaves its
    // old bytes behind, unwiped.
    let length = |(name, value): (&str, &str)| 6 * (name.len() + value.len() + 1);
    let capacity = 2 + members().map(length).sum::<usize>();
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    serde_json::Serializer::new(&mut *body)
        .collect_map(members())
        .map_err(|_| config("the login of the user to act for cannot be written as JSON"))?;
    debug_assert!(body.len() <= capacity, "the buffer grew");
    Ok(Bytes::from_owner(body))
}

/// Returns the user's token, or the error if there is none.
///
/// The assumptions are: a token response like that of the token endpoint, with or
/// without a refresh token; 401 if the account's token is not accepted; 403 if the
/// account may not act for this user; any other 4xx if there is no such user.
pub(super) fn read(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
    login: &str,
    token_types: &[String],
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let endpoint = request.endpoint();
    let error =
        |kind, what: String| Err(TokenError::new(kind, what).with_response(response.status, None));
    match response.status {
        // The layer has tried a newer token. Says nothing about the user.
        StatusCode::UNAUTHORIZED => error(
            TokenErrorKind::Unavailable,
            format!("{endpoint} does not accept the token of the account that acts for the user"),
        ),
        StatusCode::FORBIDDEN => error(
            TokenErrorKind::Refused,
            format!(
                "{endpoint} does not let the account act for this user: is impersonation \
                 enabled for its API access?"
            ),
        ),
        _ => read_exchanged(response, request, (login, CREDENTIALS), token_types, now),
    }
}

#[cfg(test)]
mod tests {
    use TokenErrorKind::*;
    use http::{HeaderMap, Uri};

    use super::*;

    #[test]
    fn the_login_is_json_whatever_is_in_it() {
        for (login, json) in [
            ("your@email.com", r#"{"email":"your@email.com"}"#),
            ("a\"b\\c@x", r#"{"email":"a\"b\\c@x"}"#),
            ("jiří@příklad.cz", r#"{"email":"jiří@příklad.cz"}"#),
            ("a\n\u{1}b", r#"{"email":"a\n\u0001b"}"#),
            ("\u{2028}🔑", "{\"email\":\"\u{2028}🔑\"}"),
        ] {
            assert_eq!(body(login, &[]).expect("a body"), json);
        }
        let params = [("scope", "openid".into()), ("k\"", Secret::from("v"))];
        let json = r#"{"email":"me","scope":"openid","k\"":"v"}"#;
        assert_eq!(body("me", &params).expect("a body"), json);
        for login in ["", " ", "\t\n"] {
            let error = body(login, &params).expect_err("no login");
            assert_eq!(error.kind(), Config);
        }
    }

    fn answer(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        let response = EndpointResponse {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::new(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let uri = Uri::from_static("https://auth.voipex.io/token-exchange");
        let request = EndpointRequest {
            uri: &uri,
            endpoint_name: ENDPOINT_NAME,
            authorization: None,
            body: None,
            secrets: &[],
        };
        read(&response, &request, "anna@x", &[], SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn a_token_is_read_as_any_other_with_and_without_a_refresh_token() {
        let whole = r#"{"access_token":"t0ken","expires_in":3000,"refresh_token":"r"}"#;
        for (body, refreshable) in [(whole, true), (r#"{"access_token":"t0ken"}"#, false)] {
            let response = answer(200, body).expect("a token");
            assert_eq!(response.access_token().secret(), "t0ken");
            assert_eq!(response.refresh_token().is_some(), refreshable);
        }
    }

    #[test]
    fn a_response_is_about_the_account_the_access_or_the_user() {
        let hapi = r#"{"statusCode":403,"error":"Forbidden","message":"anna@x"}"#;
        for (status, body, kind, says) in [
            (401, "", Unavailable, "the token of the account"),
            (401, r#"{"error":"invalid_grant"}"#, Unavailable, "account"),
            (403, "", Refused, "is impersonation enabled"),
            (403, hapi, Refused, "is impersonation enabled"),
            (400, hapi, Refused, "refused the request"),
            (404, "", Refused, "is this the token exchange?"),
            (
                404,
                r#"{"error":"invalid_grant"}"#,
                Refused,
                "login of the user",
            ),
            (422, "", Refused, "refused the request"),
            (407, "", Connect, "a proxy"),
            (429, "", Unavailable, "temporarily"),
            (500, "", Unavailable, "temporarily"),
            (503, hapi, Unavailable, "temporarily"),
            (200, "<html>Portal</html>", InvalidResponse, "is not JSON"),
            (200, "", InvalidResponse, "is empty"),
            (
                200,
                r#"{"email":"anna@x"}"#,
                InvalidResponse,
                "no `access_token`",
            ),
            (204, "", InvalidResponse, "is empty"),
        ] {
            let error = answer(status, body).expect_err("no token");
            let shown = error.to_string();
            assert_eq!(error.kind(), kind, "{status} {body}: {shown}");
            assert!(shown.contains(says), "{status} {body}: {shown}");
            assert!(shown.contains("auth.voipex.io"), "{shown}");
            let whole = format!("{error:?} {shown}");
            assert!(
                !whole.contains("anna") && !whole.contains("html"),
                "{whole}"
            );
        }
    }
}
