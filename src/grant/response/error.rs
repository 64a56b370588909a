//! What a response without a token means: pure decisions.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::error::{TokenError, TokenErrorKind};
use crate::grant::params::Sent;
use crate::grant::response::body::Members;
use crate::grant::response::description;
use crate::transport::{EndpointRequest, EndpointResponse};

const CLIENT: &str = "client";

/// The meaning of an `error` member, whatever the status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Later,
    Refused(&'static str),
    Unknown,
}

/// What a request can be refused for.
#[derive(Clone, Copy, Debug)]
pub(in crate::grant) struct Refusable {
    /// The credentials that were sent, in words: `user name or password`.
    pub(in crate::grant) credentials: &'static str,
    /// What else to try if the server refused the client.
    pub(in crate::grant) client_hint: Option<&'static str>,
}

/// Returns what a code means; `credentials` names what `invalid_grant` refuses.
fn meaning(code: &str, credentials: &'static str) -> Meaning {
    match code {
        "temporarily_unavailable" | "server_error" | "slow_down" => Meaning::Later,
        "invalid_grant" => Meaning::Refused(credentials),
        "invalid_client" | "unauthorized_client" => Meaning::Refused(CLIENT),
        "access_denied" => Meaning::Refused("access"),
        "invalid_scope" => Meaning::Refused("scope"),
        "invalid_target" => Meaning::Refused("audience or resource"),
        "unsupported_grant_type" => Meaning::Refused("grant type"),
        "invalid_request" => Meaning::Refused("form of the request"),
        _ => Meaning::Unknown,
    }
}

/// Returns the error of a response without a token.
pub(in crate::grant) fn read(
    response: &EndpointResponse,
    members: Option<&Members>,
    request: &EndpointRequest<'_>,
    sent: &Sent<'_>,
    refusable: Refusable,
) -> TokenError {
    let code = members.and_then(Members::code);
    let description = members.map(|members| description::read(members, sent));
    let description = description.unwrap_or_default();
    error(response.status, code, request, refusable)
        .with_description(description.text, description.uri)
}

/// Returns the error of a response with this status and this `error` member.
fn error(
    status: StatusCode,
    code: Option<&str>,
    request: &EndpointRequest<'_>,
    refusable: Refusable,
) -> TokenError {
    use TokenErrorKind::*;

    let endpoint = request.endpoint();
    let meaning = code.map_or(Meaning::Unknown, |code| {
        meaning(code, refusable.credentials)
    });
    let later = || {
        (
            Unavailable,
            format!("{endpoint} is temporarily unavailable"),
        )
    };
    let (kind, what) = match meaning {
        Meaning::Later => later(),
        // Busy servers say so whatever the request was.
        Meaning::Refused(_) if matches!(status.as_u16(), 429 | 503) => later(),
        _ if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            let what = format!("a proxy in front of {endpoint} refused the request");
            (Connect, what)
        }
        Meaning::Refused(what) => {
            let hint = refusable.client_hint.filter(|_| what == CLIENT);
            let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            (Refused, format!("{endpoint} refused the {what}{hint}"))
        }
        Meaning::Unknown if is_retryable(status) => later(),
        Meaning::Unknown if status.is_client_error() || (status.is_success() && code.is_some()) => {
            let cure = match status.as_u16() {
                _ if code.is_some() => String::new(),
                404 | 405 => format!(": is this {}?", request.endpoint_name),
                _ => format!(
                    " without a readable `error`: is this {}?",
                    request.endpoint_name
                ),
            };
            (Refused, format!("{endpoint} refused the request{cure}"))
        }
        Meaning::Unknown => {
            let what = format!("{endpoint} answered with an unexpected status");
            (InvalidResponse, what)
        }
    };
    // A well-known code is not an echo, even if a password is part of it.
    let code = code.filter(|code| {
        meaning != Meaning::Unknown || (looks_like_a_code(code) && !request.echoes(code))
    });
    TokenError::new(kind, what).with_response(status, code)
}

/// Returns whether a status alone says that the same request may succeed later.
pub(in crate::grant) fn is_retryable(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// Returns whether a string is `[a-z][a-z0-9_-]{0,63}`: anything else may be a
/// sentence, a page, or what was sent.
fn looks_like_a_code(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// The longest pause that is read, which can be added to a clock without overflow.
/// The cache decides how much of it to wait.
pub(in crate::grant) const MAX_RETRY_AFTER: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Reads `Retry-After` (RFC 9110, section 10.2.3). Returns how long the server asks
/// to wait from `now`, at most `max`, or `None` for a missing or unreadable header,
/// zero, or a date in the past.
pub(in crate::grant) fn retry_after(
    headers: &HeaderMap,
    now: SystemTime,
    max: Duration,
) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Only too many digits can fail.
        text.parse().map_or(max, Duration::from_secs)
    } else {
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?
    };
    Some(wait.min(max)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use TokenErrorKind::*;
    use http::Uri;

    use super::*;

    fn of(status: u16, code: Option<&str>) -> TokenError {
        of_request(status, code, "hunter2")
    }

    fn of_request(status: u16, code: Option<&str>, secret: &str) -> TokenError {
        let status = StatusCode::from_u16(status).expect("a status");
        let uri = Uri::from_static("https://auth.example.com/token?key=1");
        let request = EndpointRequest {
            uri: &uri,
            endpoint_name: "the token endpoint",
            authorization: None,
            body: None,
            secrets: &[secret],
        };
        let refusable = Refusable {
            credentials: "user name or password",
            client_hint: Some("try another way"),
        };
        error(status, code, &request, refusable)
    }

    #[test]
    fn a_refusal_names_the_host_and_what_was_refused() {
        for (status, code, message) in [
            (
                401,
                Some("invalid_grant"),
                "the token endpoint at auth.example.com refused the user name or password \
                 (401, invalid_grant)",
            ),
            (
                401,
                Some("invalid_client"),
                "the token endpoint at auth.example.com refused the client: try another way \
                 (401, invalid_client)",
            ),
            (
                404,
                None,
                "the token endpoint at auth.example.com refused the request: \
                 is this the token endpoint? (404)",
            ),
            (
                400,
                None,
                "the token endpoint at auth.example.com refused the request \
                 without a readable `error`: is this the token endpoint? (400)",
            ),
            (
                503,
                None,
                "the token endpoint at auth.example.com is temporarily unavailable (503)",
            ),
        ] {
            assert_eq!(of(status, code).to_string(), message);
        }
    }

    #[test]
    fn the_error_member_rules_and_the_status_comes_second() {
        for (status, code, kind) in [
            (400, Some("invalid_grant"), Refused),
            (401, Some("invalid_grant"), Refused),
            (401, Some("invalid_client"), Refused),
            (400, Some("unauthorized_client"), Refused),
            (400, Some("invalid_scope"), Refused),
            (400, Some("unsupported_grant_type"), Refused),
            (400, Some("invalid_request"), Refused),
            (403, Some("access_denied"), Refused),
            (200, Some("invalid_grant"), Refused),
            // A 500 does not undo a refusal, but a busy server's status says more
            // than its `error`.
            (500, Some("invalid_grant"), Refused),
            (429, Some("invalid_grant"), Unavailable),
            (503, Some("invalid_client"), Unavailable),
            // A proxy's answer is not about the credentials.
            (407, None, Connect),
            (407, Some("invalid_client"), Connect),
            // A 4xx is not final if the server is only busy.
            (400, Some("temporarily_unavailable"), Unavailable),
            (401, Some("server_error"), Unavailable),
            (400, Some("slow_down"), Unavailable),
            (200, Some("temporarily_unavailable"), Unavailable),
            // Unknown codes, and none.
            (400, Some("account_locked"), Refused),
            (200, Some("account_locked"), Refused),
            (429, Some("too_many_requests"), Unavailable),
            (500, Some("unknown_error"), Unavailable),
            (400, None, Refused),
            (401, None, Refused),
            (403, None, Refused),
            (404, None, Refused),
            (408, None, Unavailable),
            (425, None, Unavailable),
            (429, None, Unavailable),
            (500, None, Unavailable),
            (502, None, Unavailable),
            (503, None, Unavailable),
            (599, None, Unavailable),
            (101, None, InvalidResponse),
            (101, Some("account_locked"), InvalidResponse),
            (600, None, InvalidResponse),
        ] {
            let error = of(status, code);
            assert_eq!(error.kind(), kind, "{status} {code:?}");
            assert_eq!(error.status().map(|s| s.as_u16()), Some(status));
            assert_eq!(error.oauth_error(), code);
        }
    }

    #[test]
    fn only_what_looks_like_a_code_is_kept() {
        let long = "x".repeat(64);
        let too_long = "x".repeat(65);
        for (code, kept) in [
            ("account_locked", true),
            ("mfa-required-2", true),
            ("x", true),
            (long.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            ("2fa", false),
            ("Wrong", false),
            ("wrong password", false),
            ("wr\u{f6}ng", false),
            ("wrong\n", false),
            ("wrong_hunter2", false),
        ] {
            assert_eq!(
                of(400, Some(code)).oauth_error().is_some(),
                kept,
                "{code:?}"
            );
            assert_eq!(of(400, Some(code)).kind(), Refused);
        }
    }

    #[test]
    fn a_short_password_does_not_take_the_reason_from_an_error() {
        let error = of_request(400, Some("invalid_grant"), "invalid_grant");
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
    }

    #[test]
    fn both_forms_of_retry_after_are_read_and_capped() {
        const MAX: Duration = Duration::from_secs(300);
        // 1994-11-06 08:49:07, thirty seconds before the RFC's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_747);
        for (text, seconds) in [
            ("1", Some(1)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("1000000000000000000000000000000", Some(300)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(30)),
            ("Sun Nov  6 08:49:37 1994", Some(30)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(300)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None),
            ("Sun, 06 Nov 1994 08:49:06 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1s", None),
            ("", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now, MAX), expected, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now, MAX), None);
    }
}
