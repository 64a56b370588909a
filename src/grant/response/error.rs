//! What an answer that brings no token means: a pure decision.

use http::StatusCode;

use crate::error::{TokenError, TokenErrorKind};

/// What an `error` member says, whatever the status.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Later,
    Refused(&'static str),
    Unknown,
}

fn meaning(code: &str) -> Meaning {
    match code {
        "temporarily_unavailable" | "server_error" | "slow_down" => Meaning::Later,
        "invalid_grant" => Meaning::Refused("the token endpoint refused the credentials"),
        "invalid_client" | "unauthorized_client" => {
            Meaning::Refused("the token endpoint refused the client")
        }
        "access_denied" => Meaning::Refused("the token endpoint denied access"),
        "invalid_scope" => Meaning::Refused("the token endpoint refused the scope"),
        "invalid_target" => {
            Meaning::Refused("the token endpoint refused the audience or the resource")
        }
        "unsupported_grant_type" => Meaning::Refused("the token endpoint refused the grant type"),
        "invalid_request" => Meaning::Refused("the token endpoint refused the form of the request"),
        _ => Meaning::Unknown,
    }
}

/// The error for an answer with this status and this `error` member. `echoes`
/// says whether a text holds one of the secrets that were sent.
pub(in crate::grant) fn error(
    status: StatusCode,
    code: Option<&str>,
    echoes: impl Fn(&str) -> bool,
) -> TokenError {
    use TokenErrorKind::*;

    let meaning = code.map_or(Meaning::Unknown, meaning);
    let (kind, what) = match meaning {
        Meaning::Later => (Unavailable, LATER),
        Meaning::Refused(what) => (Refused, what),
        Meaning::Unknown if asks_to_come_again(status) => (Unavailable, LATER),
        Meaning::Unknown if status.is_success() && code.is_some() => (Refused, REFUSED),
        Meaning::Unknown if status.is_client_error() && code.is_some() => (Refused, REFUSED),
        Meaning::Unknown if status.is_client_error() => (Refused, UNREADABLE),
        Meaning::Unknown => (
            InvalidResponse,
            "the token endpoint answered with a status that makes no sense here",
        ),
    };
    // A code that is well known is no echo, even if a password is part of it.
    let code = code
        .filter(|code| meaning != Meaning::Unknown || (looks_like_a_code(code) && !echoes(code)));
    TokenError::new(kind, what).with_answer(status, code)
}

const LATER: &str = "the token endpoint is not available for the moment";
const REFUSED: &str = "the token endpoint refused the token request";
const UNREADABLE: &str = "the token endpoint refused the token request without a readable `error`";

fn asks_to_come_again(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// `[a-z][a-z0-9_-]{0,63}`: anything else may be a sentence, a page, or what
/// was sent.
fn looks_like_a_code(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use TokenErrorKind::*;

    use super::*;

    fn of(status: u16, code: Option<&str>) -> TokenError {
        let status = StatusCode::from_u16(status).expect("a status");
        error(status, code, |text| text.contains("hunter2"))
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
            // A status that asks to come again does not undo a refusal.
            (429, Some("invalid_grant"), Refused),
            (500, Some("invalid_grant"), Refused),
            (503, Some("invalid_client"), Refused),
            // Nor does a refusing status stick when the server is only busy.
            (400, Some("temporarily_unavailable"), Unavailable),
            (401, Some("server_error"), Unavailable),
            (400, Some("slow_down"), Unavailable),
            (200, Some("temporarily_unavailable"), Unavailable),
            // Codes nobody knows, and none.
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
        let error = error(StatusCode::BAD_REQUEST, Some("invalid_grant"), |_| true);
        assert_eq!(error.oauth_error(), Some("invalid_grant"));
    }
}
