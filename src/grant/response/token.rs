//! Reads the answer of a token endpoint (RFC 6749, sections 5.1 and 5.2).
//!
//! No error quotes the body, nor a parser's message, which may quote it too.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::response::body::{JsonValue, TokenResponseBody};
use crate::grant::response::{error, retry_after};
use crate::token::{AccessToken, RefreshToken, TokenResponse};
use crate::transport::EndpointResponse;

/// A hundred years: longer than anything a clock is asked to add.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The token, or why there is none. `echoes` says whether a text holds one of
/// the secrets that were sent, `accepts_token_type` whether a token of that
/// `issued_token_type` will do.
pub(in crate::grant) fn read(
    answer: &EndpointResponse,
    echoes: impl Fn(&str) -> bool,
    accepts_token_type: impl Fn(Option<&str>) -> bool,
    now: SystemTime,
) -> Result<TokenResponse, TokenError> {
    let members = TokenResponseBody::parse(&answer.body);
    let code = members.as_ref().ok().and_then(TokenResponseBody::code);
    let has_token = matches!(&members, Ok(members) if members.access_token.is_some());
    if !answer.status.is_success() || (code.is_some() && !has_token) {
        let error = error::error(answer.status, code, echoes);
        let wait = match error.kind() {
            TokenErrorKind::Unavailable => {
                retry_after::retry_after(&answer.headers, now, retry_after::MAX)
            }
            _ => None,
        };
        return Err(error.with_retry_after(wait));
    }
    members
        .map_err(|what| malformed(format!("the token endpoint's answer {what}")))
        .and_then(|members| token(members, accepts_token_type))
        .map_err(|e| e.with_answer(answer.status, None))
}

fn token(
    members: TokenResponseBody,
    accepts_token_type: impl Fn(Option<&str>) -> bool,
) -> Result<TokenResponse, TokenError> {
    let mut token = match members.access_token {
        Some(JsonValue::Text(text)) => AccessToken::new(text.as_str())?,
        Some(other) => return Err(not("access_token", other.what(), "a string")),
        None => {
            return Err(malformed(
                "the token endpoint's answer has no `access_token`",
            ));
        }
    };
    match members.token_type {
        Some(JsonValue::Text(text)) if !text.eq_ignore_ascii_case("bearer") => {
            return Err(malformed(
                "the token endpoint's answer has a `token_type` other than bearer",
            ));
        }
        Some(JsonValue::Text(_)) | None => {}
        Some(other) => return Err(not("token_type", other.what(), "a string")),
    }
    let issued = match &members.issued_token_type {
        Some(JsonValue::Text(text)) => Some(text.as_str()),
        Some(other) => return Err(not("issued_token_type", other.what(), "a string")),
        None => None,
    };
    if !accepts_token_type(issued) {
        return Err(malformed(
            "the token endpoint issued a token of another type than was asked for \
             (`issued_token_type`)",
        ));
    }
    if let Some(member) = &members.expires_in {
        let lifetime =
            seconds(member).map_err(|what| not("expires_in", what, "a whole number of seconds"))?;
        token = token.with_lifetime(lifetime);
    }
    let refresh = refresh_token(members.refresh_token, members.refresh_expires_in);
    Ok(TokenResponse::new(token).with_refresh_token(refresh))
}

/// An unreadable refresh token is as good as none, and an unreadable end of its
/// life as no known one: the server may refuse it, and the grant's own
/// credentials serve then. Keycloak says 0 for no fixed end.
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

/// A number of seconds, or what it is instead.
fn seconds(member: &JsonValue) -> Result<Duration, &'static str> {
    let JsonValue::Number(number) = member else {
        return Err(member.what());
    };
    if let Some(seconds) = number.as_u64() {
        return Ok(Duration::from_secs(seconds).min(LONGEST));
    }
    match number.as_f64() {
        Some(number) if number < 0.0 => Err("negative"),
        Some(number) if number.fract() != 0.0 => Err("fractional"),
        _ => Err("too large or not written as a whole number"),
    }
}

fn not(member: &str, is: &str, should: &str) -> TokenError {
    malformed(format!(
        "`{member}` in the token endpoint's answer is {is}, not {should}"
    ))
}

fn malformed(what: impl Into<Cow<'static, str>>) -> TokenError {
    TokenError::new(TokenErrorKind::InvalidResponse, what)
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;
    use http::{HeaderMap, StatusCode};
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
        let echoes = |text: &str| text.contains("hunter2");
        read(
            &answer(status, body),
            echoes,
            |_| true,
            SystemTime::UNIX_EPOCH,
        )
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
                "`access_token` in the token endpoint's answer is a number",
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
                "`token_type` in the token endpoint's answer is a number",
            ),
            (
                &with(r#""expires_in":"3000""#),
                "`expires_in` in the token endpoint's answer is a string",
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
        let error =
            read(&bytes, |_| false, |_| true, SystemTime::UNIX_EPOCH).expect_err("not utf-8");
        assert!(error.to_string().contains("is not JSON"), "{error}");
        let deep = with(&format!(r#""expires_in":{}"#, "[".repeat(60_000)));
        assert!(refused(200, &deep).to_string().contains("is not JSON"));
    }

    #[test]
    fn lifetimes_saturate_where_clocks_would_overflow() {
        for (seconds, lifetime) in [
            ("0", Duration::ZERO),
            ("1", Duration::from_secs(1)),
            ("3153600000", LONGEST),
            ("3153600001", LONGEST),
            ("18446744073709551615", LONGEST),
        ] {
            let body = with(&format!(r#""expires_in":{seconds}"#));
            let response = read_all(200, &body).expect(seconds);
            assert_eq!(response.access_token().lifetime(), Some(lifetime));
        }
        assert!(std::time::Instant::now().checked_add(LONGEST).is_some());
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
                Refused,
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
