//! Reads the response of a token endpoint (RFC 6749, sections 5.1 and 5.2).
//!
//! No error quotes the body, nor a parser's message, which may quote it too.

use std::time::{Duration, SystemTime};

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::response::body::{JsonValue, TokenResponseBody};
use crate::grant::response::error;
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::{EndpointRequest, EndpointResponse};

/// A hundred years, which any clock can add.
const MAX_LIFETIME: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Returns the token, or why there is none. `credentials` names what was sent,
/// `accepts_token_type` says whether a token of that `issued_token_type` is
/// accepted.
pub(crate) fn read(
    response: &EndpointResponse,
    request: &EndpointRequest<'_>,
    credentials: &'static str,
    accepts_token_type: impl Fn(Option<&str>) -> bool,
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let status = response.status;
    let body = TokenResponseBody::parse(&response.body);
    let code = body.as_ref().ok().and_then(TokenResponseBody::code);
    let has_token = matches!(&body, Ok(body) if body.access_token.is_some());
    if !status.is_success() || (code.is_some() && !has_token) {
        let error = error::error(status, code, request, credentials);
        let wait = match error.kind() {
            TokenErrorKind::Unavailable => {
                error::retry_after(&response.headers, now, error::MAX_RETRY_AFTER)
            }
            _ => None,
        };
        return Err(error.with_retry_after(wait));
    }
    let malformed = |what: String| {
        let what = format!("the response of {} {what}", request.endpoint());
        TokenError::new(TokenErrorKind::InvalidResponse, what)
    };
    body.map_err(|what| match what {
        "is not JSON" => format!("is not JSON: is this {}?", request.endpoint_name),
        what => what.to_owned(),
    })
    .map_err(malformed)
    .and_then(|body| token(body, accepts_token_type, malformed))
    .map_err(|e| e.with_response(status, None))
}

fn token(
    body: TokenResponseBody,
    accepts_token_type: impl Fn(Option<&str>) -> bool,
    malformed: impl Fn(String) -> TokenError,
) -> Result<TokenResponse, TokenError> {
    let wrong_type = |member: &str, is: &str, should: &str| {
        malformed(format!("has a `{member}` that is {is}, not {should}"))
    };
    let mut token = match body.access_token {
        Some(JsonValue::Text(text)) => AccessToken::new(text.as_str())?,
        Some(other) => return Err(wrong_type("access_token", other.what(), "a string")),
        None => return Err(malformed("has no `access_token`".into())),
    };
    match body.token_type {
        Some(JsonValue::Text(text)) if !text.eq_ignore_ascii_case("bearer") => {
            return Err(malformed("has a `token_type` other than bearer".into()));
        }
        Some(JsonValue::Text(_)) | None => {}
        Some(other) => return Err(wrong_type("token_type", other.what(), "a string")),
    }
    let issued = match &body.issued_token_type {
        Some(JsonValue::Text(text)) => Some(text.as_str()),
        Some(other) => return Err(wrong_type("issued_token_type", other.what(), "a string")),
        None => None,
    };
    if !accepts_token_type(issued) {
        let what = "has a token of another type than was requested (`issued_token_type`)";
        return Err(malformed(what.into()));
    }
    if let Some(member) = &body.expires_in {
        let lifetime = seconds(member)
            .map_err(|what| wrong_type("expires_in", what, "a whole number of seconds"))?;
        token = token.with_lifetime(lifetime);
    }
    let response = TokenResponse::new(token);
    Ok(
        match refresh_token(body.refresh_token, body.refresh_expires_in) {
            Some(refresh_token) => response.with_refresh_token(refresh_token),
            None => response,
        },
    )
}

/// Reads a refresh token. An unreadable one counts as none, and an unreadable
/// lifetime as unknown: the server may refuse the token, and the grant's own
/// credentials are used then. Keycloak says 0 for no fixed end.
fn refresh_token(token: Option<JsonValue>, expires_in: Option<JsonValue>) -> Option<RefreshToken> {
    let Some(JsonValue::Text(mut text)) = token else {
        return None;
    };
    let token = RefreshToken::new(std::mem::take(&mut *text)).ok()?;
    match expires_in.map(|member| seconds(&member)) {
        Some(Ok(lifetime)) if !lifetime.is_zero() => Some(token.with_lifetime(lifetime)),
        _ => Some(token),
    }
}

/// Returns a number of seconds, or what the value is instead.
fn seconds(member: &JsonValue) -> Result<Duration, &'static str> {
    let JsonValue::Number(number) = member else {
        return Err(member.what());
    };
    if let Some(seconds) = number.as_u64() {
        return Ok(Duration::from_secs(seconds).min(MAX_LIFETIME));
    }
    match number.as_f64() {
        Some(number) if number < 0.0 => Err("negative"),
        Some(number) if number.fract() != 0.0 => Err("fractional"),
        _ => Err("too large or not written as a whole number"),
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;
    use http::{HeaderMap, StatusCode, Uri};
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> EndpointResponse {
        EndpointResponse {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: HeaderMap::from_iter([(RETRY_AFTER, "7".parse().expect("a value"))]),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn read_all(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        read_answer(&answer(status, body))
    }

    fn read_answer(answer: &EndpointResponse) -> Result<TokenResponse, TokenError> {
        let uri = Uri::from_static("https://a.example/token");
        let request = EndpointRequest {
            uri: &uri,
            endpoint_name: "the token endpoint",
            authorization: None,
            body: None,
            secrets: &["hunter2"],
        };
        let now = SystemTime::UNIX_EPOCH;
        read(answer, &request, "credentials", |_| true, now)
    }

    fn refused(status: u16, body: &str) -> TokenError {
        let error = read_all(status, body).expect_err(body);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
        error
    }

    /// An answer with these members besides the access token.
    fn with(members: &str) -> String {
        format!(r#"{{"access_token":"t0ken",{members}}}"#)
    }

    #[test]
    fn the_documented_answer_is_read() {
        let body = r#"{"access_token":"t0ken","expires_in":3000,"refresh_expires_in":7200,
            "refresh_token":"r3fresh","token_type":"Bearer","not-before-policy":0,
            "session_state":"fbf59841-8288-4a71-8192-2bd4bf8a5c50","scope":"profile email"}"#;
        let response = read_all(200, body).expect("a token");
        let token = response.access_token();
        assert_eq!(token.secret(), "t0ken");
        assert_eq!(token.lifetime(), Some(Duration::from_secs(3000)));
        let refresh = response.refresh_token().expect("a refresh token");
        assert_eq!(refresh.secret(), "r3fresh");
        assert_eq!(refresh.lifetime(), Some(Duration::from_secs(7200)));
    }

    #[test]
    fn an_answer_needs_no_more_than_an_access_token() {
        for body in [
            r#"{"access_token":"t0ken"}"#,
            "\u{feff}{\"access_token\":\"t0ken\"}",
            " \r\n{\"access_token\" : \"t0ken\"}\n",
            r#"{"access_token":"t0\u006ben"}"#,
            r#"{"access_token":"t0ken","token_type":null,"expires_in":null,"refresh_token":null}"#,
            r#"{"access_token":"t0ken","token_type":"bEARER"}"#,
            r#"{"access_token":"t0ken","error":null}"#,
            r#"{"x":{"access_token":1,"y":[1e999]},"access_token":"t0ken","x":2}"#,
        ] {
            let response = read_all(200, body).expect(body);
            assert_eq!(response.access_token().secret(), "t0ken");
            assert_eq!(response.access_token().lifetime(), None);
            assert!(response.refresh_token().is_none());
        }
    }

    #[test]
    fn what_is_not_understood_is_named_and_not_quoted() {
        for (body, reason) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("<html><body>hunter2</body></html>", "is not JSON"),
            ("hunter2", "is not JSON"),
            (r#"{"access_token":"hunter2""#, "is not JSON"),
            (r#"{"access_token":"hunter2"} hunter2"#, "is not JSON"),
            (r#"{"access_token":"hunter2"}{}"#, "is not JSON"),
            ("{\"access_token\":\"hun\nter2\"}", "is not JSON"),
            (r#"["hunter2"]"#, "not an object"),
            (r#""hunter2""#, "not an object"),
            ("null", "not an object"),
            (
                r#"{"access_token":"hunter2","access_token":"b"}"#,
                "a member twice",
            ),
            (r#"{"error":null,"error":"hunter2"}"#, "a member twice"),
            ("{}", "no `access_token`"),
            (r#"{"access_token":null}"#, "no `access_token`"),
            (r#"{"accessToken":"hunter2"}"#, "no `access_token`"),
            (
                r#"{"access_token":17}"#,
                "a `access_token` that is a number",
            ),
            (r#"{"access_token":["hunter2"]}"#, "is an array"),
            (r#"{"access_token":{"hunter2":1}}"#, "is an object"),
            (r#"{"access_token":""}"#, "the access token is empty"),
            (
                r#"{"access_token":"hunter2\n"}"#,
                "the access token has a character",
            ),
            (
                r#"{"access_token":"hunter2\r\nx: y"}"#,
                "the access token has a character",
            ),
            (
                r#"{"access_token":"hunter2 x"}"#,
                "the access token has a character",
            ),
            (
                &with(r#""token_type":"mac""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""token_type":"hunter2""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""token_type":"""#),
                "`token_type` other than bearer",
            ),
            (
                &with(r#""token_type":1"#),
                "a `token_type` that is a number",
            ),
            (
                &with(r#""expires_in":"3000""#),
                "a `expires_in` that is a string",
            ),
            (&with(r#""expires_in":-1"#), "is negative"),
            (&with(r#""expires_in":-1.5"#), "is negative"),
            (&with(r#""expires_in":0.5"#), "is fractional"),
            (&with(r#""expires_in":1e30"#), "is too large"),
            (
                &with(r#""expires_in":1000000000000000000000000000000"#),
                "is too large",
            ),
            (
                &with(r#""expires_in":18446744073709551616"#),
                "is too large",
            ),
            (&with(r#""expires_in":true"#), "is a boolean"),
            (&with(r#""expires_in":[]"#), "is an array"),
        ] {
            let error = refused(200, body);
            assert_eq!(error.kind(), TokenErrorKind::InvalidResponse, "{body}");
            assert!(error.to_string().contains(reason), "{body}: {error}");
        }
    }

    #[test]
    fn invalid_utf_8_and_deep_nesting_are_not_json() {
        let mut bytes = answer(200, r#"{"access_token":"?"}"#);
        bytes.body[17] = 0xff;
        let error = read_answer(&bytes).expect_err("not utf-8");
        assert!(error.to_string().contains("is not JSON"), "{error}");
        let deep = with(&format!(r#""expires_in":{}"#, "[".repeat(60_000)));
        assert!(refused(200, &deep).to_string().contains("is not JSON"));
    }

    #[test]
    fn lifetimes_saturate_where_clocks_would_overflow() {
        for (seconds, lifetime) in [
            ("0", Duration::ZERO),
            ("1", Duration::from_secs(1)),
            ("3153600000", MAX_LIFETIME),
            ("3153600001", MAX_LIFETIME),
            ("18446744073709551615", MAX_LIFETIME),
        ] {
            let body = with(&format!(r#""expires_in":{seconds}"#));
            let response = read_all(200, &body).expect(seconds);
            assert_eq!(response.access_token().lifetime(), Some(lifetime));
        }
        assert!(
            std::time::Instant::now()
                .checked_add(MAX_LIFETIME)
                .is_some()
        );
    }

    #[test]
    fn an_unreadable_refresh_token_or_end_of_it_costs_no_token() {
        let two_hours = Some(Some(7200));
        for (members, lifetime) in [
            (
                r#""refresh_token":"r","refresh_expires_in":7200"#,
                two_hours,
            ),
            (r#""refresh_token":"r","refresh_expires_in":0"#, Some(None)),
            (
                r#""refresh_token":"r","refresh_expires_in":null"#,
                Some(None),
            ),
            (r#""refresh_token":"r","refresh_expires_in":-1"#, Some(None)),
            (
                r#""refresh_token":"r","refresh_expires_in":"x""#,
                Some(None),
            ),
            (
                r#""refresh_token":"r","refresh_expires_in":1e30"#,
                Some(None),
            ),
            (r#""refresh_token":"r""#, Some(None)),
            (r#""refresh_token":"","refresh_expires_in":7200"#, None),
            (r#""refresh_token":"r\n""#, None),
            (r#""refresh_token":17"#, None),
            (r#""refresh_token":{}"#, None),
            (r#""refresh_expires_in":7200"#, None),
        ] {
            let response = read_all(200, &with(members)).expect(members);
            let refresh = response.refresh_token();
            let read = refresh.map(|r| r.lifetime().map(|l| l.as_secs()));
            assert_eq!(read, lifetime, "{members}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_error_member() {
        use TokenErrorKind::*;
        for (status, body, kind, code) in [
            (
                401,
                r#"{"error":"invalid_grant","error_description":"hunter2"}"#,
                Refused,
                Some("invalid_grant"),
            ),
            (
                503,
                r#"{"error":"invalid_grant"}"#,
                Unavailable,
                Some("invalid_grant"),
            ),
            (
                200,
                r#"{"error":"invalid_grant"}"#,
                Refused,
                Some("invalid_grant"),
            ),
            (400, r#"{"error":"is_hunter2"}"#, Refused, None),
            (400, r#"{"error":{"code":"invalid_grant"}}"#, Refused, None),
            (400, r#"{"error":"#, Refused, None),
            (403, "", Refused, None),
            (401, "<html>hunter2</html>", Refused, None),
            (400, r#"{"access_token":"t0ken"}"#, Refused, None),
            (
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                Unavailable,
                Some("temporarily_unavailable"),
            ),
            (502, "<html>hunter2</html>", Unavailable, None),
            (429, "", Unavailable, None),
        ] {
            let error = refused(status, body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert_eq!(error.oauth_error(), code, "{status} {body}");
            let wait = (kind == Unavailable).then_some(Duration::from_secs(7));
            assert_eq!(error.retry_after(), wait, "{status} {body}");
        }
    }

    #[test]
    fn a_token_is_taken_although_an_error_stands_beside_it() {
        assert!(read_all(200, &with(r#""error":"invalid_grant""#)).is_ok());
    }
}
