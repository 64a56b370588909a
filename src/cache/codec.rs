//! Tokens and failures as a store keeps them: JSON, which other releases of this
//! crate can read too.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::cache::failures::FailureCounts;
use crate::error::{TokenError, TokenErrorKind};
use crate::store::Payload;
use crate::token::{AccessToken, RefreshToken};

/// The version of the token format below. A reader accepts no other.
const VERSION: u32 = 1;

/// The version of the failure format below. A reader accepts no other.
const FAILURE_VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Token<'a> {
    version: u32,
    #[serde(borrow)]
    token: Cow<'a, str>,
    /// In milliseconds.
    lifetime: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Failure<'a> {
    version: u32,
    kind: Kind,
    status: Option<u16>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    of_credentials: bool,
    credentials: Counts,
    others: Counts,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Refused,
    InvalidResponse,
    UnexpectedRedirect,
    Unavailable,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Counts {
    refused: u32,
    deferred: u32,
    unanswered: u32,
}

/// A failure that applies to all processes with the same credentials.
#[derive(Clone, Debug)]
pub(crate) struct SharedFailure {
    pub(crate) error: TokenError,
    /// Whether it is remembered for the credentials, not only for one cache.
    pub(crate) of_credentials: bool,
    /// How often the credentials failed.
    pub(crate) credentials: FailureCounts,
    /// How often anything else failed.
    pub(crate) others: FailureCounts,
}

pub(crate) fn encode_access_token(token: &AccessToken) -> Option<Payload> {
    encode_token(token.secret(), token.lifetime())
}

pub(crate) fn decode_access_token(payload: &Payload) -> Option<AccessToken> {
    let (token, lifetime) = decode_token(payload)?;
    let token = AccessToken::new(token).ok()?;
    Some(match lifetime {
        Some(lifetime) => token.with_lifetime(lifetime),
        None => token,
    })
}

pub(crate) fn encode_refresh_token(token: &RefreshToken) -> Option<Payload> {
    encode_token(token.secret(), token.lifetime())
}

/// Returns a refresh token with this remaining life.
pub(crate) fn decode_refresh_token(payload: &Payload, left: Duration) -> Option<RefreshToken> {
    let (token, lifetime) = decode_token(payload)?;
    let token = RefreshToken::new(token).ok()?;
    Some(match lifetime {
        Some(lifetime) => token.with_lifetime(lifetime.min(left)),
        None => token,
    })
}

fn encode_token(token: &str, lifetime: Option<Duration>) -> Option<Payload> {
    // Room for every character escaped, so that the buffer never grows and leaves a
    // copy behind.
    let room = 2 * token.len() + 128;
    let record = Token {
        version: VERSION,
        token: token.into(),
        lifetime: lifetime.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
    };
    encode(&record, room)
}

fn decode_token(payload: &Payload) -> Option<(Cow<'_, str>, Option<Duration>)> {
    let record: Token<'_> = serde_json::from_slice(payload.as_bytes()).ok()?;
    (record.version == VERSION)
        .then_some((record.token, record.lifetime.map(Duration::from_millis)))
}

/// Encodes a failure that applies to the whole fleet: a response of the token
/// endpoint. What one process could not reach, another may.
pub(crate) fn encode_failure(failure: &SharedFailure) -> Option<Payload> {
    let error = &failure.error;
    let status = error.status().map(|status| status.as_u16());
    let kind = match (error.kind(), status) {
        (TokenErrorKind::Refused, _) => Kind::Refused,
        (TokenErrorKind::InvalidResponse, Some(_)) => Kind::InvalidResponse,
        (TokenErrorKind::UnexpectedRedirect, Some(_)) => Kind::UnexpectedRedirect,
        (TokenErrorKind::Unavailable, Some(_)) => Kind::Unavailable,
        _ => return None,
    };
    let record = Failure {
        version: FAILURE_VERSION,
        kind,
        status,
        error: error.oauth_error().map(Into::into),
        of_credentials: failure.of_credentials,
        credentials: failure.credentials.into(),
        others: failure.others.into(),
    };
    encode(&record, 512)
}

pub(crate) fn decode_failure(payload: &Payload) -> Option<SharedFailure> {
    let record: Failure<'_> = serde_json::from_slice(payload.as_bytes()).ok()?;
    if record.version != FAILURE_VERSION {
        return None;
    }
    let (kind, what) = match record.kind {
        Kind::Refused => (
            TokenErrorKind::Refused,
            "the token endpoint refused another process that uses this account",
        ),
        Kind::InvalidResponse => (
            TokenErrorKind::InvalidResponse,
            "the token endpoint gave another process that uses this account no token",
        ),
        Kind::UnexpectedRedirect => (
            TokenErrorKind::UnexpectedRedirect,
            "the token endpoint redirected another process that uses this account",
        ),
        Kind::Unavailable => (
            TokenErrorKind::Unavailable,
            "the token endpoint asked another process that uses this account to come again later",
        ),
    };
    let error = TokenError::new(kind, what);
    let status = record.status.and_then(|it| StatusCode::from_u16(it).ok());
    Some(SharedFailure {
        error: match status {
            Some(status) => error.with_response(status, record.error.as_deref()),
            None => error,
        },
        of_credentials: record.of_credentials,
        credentials: record.credentials.into(),
        others: record.others.into(),
    })
}

impl From<FailureCounts> for Counts {
    fn from(counts: FailureCounts) -> Self {
        Self {
            refused: counts.refused,
            deferred: counts.deferred,
            unanswered: counts.unanswered,
        }
    }
}

impl From<Counts> for FailureCounts {
    fn from(counts: Counts) -> Self {
        Self {
            refused: counts.refused,
            deferred: counts.deferred,
            unanswered: counts.unanswered,
        }
    }
}

fn encode(record: &impl Serialize, room: usize) -> Option<Payload> {
    let mut bytes = Vec::with_capacity(room);
    serde_json::to_writer(&mut bytes, record).ok()?;
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_was_written_is_read() {
        let access = AccessToken::new("a.b-c/d==").expect("valid");
        for access in [access.clone(), access.with_lifetime(HOUR)] {
            let read = decode_access_token(&encode_access_token(&access).expect("written"));
            let read = read.expect("read");
            assert_eq!(read.secret(), access.secret());
            assert_eq!(read.lifetime(), access.lifetime());
        }
        let refresh = RefreshToken::new(r#"r"\ x"#).expect("valid");
        let payload = encode_refresh_token(&refresh).expect("written");
        let read = decode_refresh_token(&payload, HOUR).expect("read");
        assert_eq!((read.secret(), read.lifetime()), (refresh.secret(), None));
        let payload = encode_refresh_token(&refresh.with_lifetime(2 * HOUR)).expect("written");
        let read = decode_refresh_token(&payload, HOUR).expect("read");
        assert_eq!(read.lifetime(), Some(HOUR), "what is left of it");
    }

    fn failure(error: TokenError) -> SharedFailure {
        SharedFailure {
            error,
            of_credentials: true,
            credentials: FailureCounts {
                refused: 3,
                deferred: 2,
                unanswered: 0,
            },
            others: FailureCounts {
                unanswered: 1,
                ..FailureCounts::default()
            },
        }
    }

    #[test]
    fn only_what_the_endpoint_said_is_for_the_fleet() {
        use TokenErrorKind::*;
        for (kind, shared, shared_without_status) in [
            (Refused, true, true),
            (Unavailable, true, false),
            (InvalidResponse, true, false),
            (UnexpectedRedirect, true, false),
            (Connect, false, false),
            (Timeout, false, false),
            (Source, false, false),
        ] {
            let error = TokenError::new(kind, "x");
            let plain = encode_failure(&failure(error.clone()));
            assert_eq!(plain.is_some(), shared_without_status, "{kind:?}");
            let error = error.with_response(StatusCode::BAD_REQUEST, Some("e"));
            let written = encode_failure(&failure(error.clone()));
            assert_eq!(written.is_some(), shared, "{kind:?}");
            if let Some(written) = written {
                let read = decode_failure(&written).expect("read");
                assert_eq!(
                    (
                        read.error.kind(),
                        read.error.status(),
                        read.error.oauth_error()
                    ),
                    (kind, error.status(), Some("e"))
                );
                let written = failure(error);
                assert_eq!(read.credentials, written.credentials);
                assert_eq!(read.others, written.others);
                assert!(read.of_credentials);
            }
        }
    }

    #[test]
    fn a_failure_of_another_version_is_nothing() {
        let refused = TokenError::new(TokenErrorKind::Refused, "x");
        let written = encode_failure(&failure(refused)).expect("written");
        let text = std::str::from_utf8(written.as_bytes()).expect("JSON");
        assert!(text.starts_with(r#"{"version":2,"#), "{text}");
        for other in [1, 3] {
            let text = text.replacen('2', &other.to_string(), 1);
            assert!(decode_failure(&Payload::from(text.into_bytes())).is_none());
        }
        let old = r#"{"version":1,"refused":true,"status":401,"error":"e","fingerprint":7}"#;
        assert!(decode_failure(&Payload::from(old.as_bytes().to_vec())).is_none());
    }

    #[test]
    fn garbage_is_nothing() {
        for text in [
            "",
            "{}",
            "[]",
            "\0",
            r#"{"version":2,"token":"a","lifetime":null}"#,
            r#"{"version":1,"token":"a b","lifetime":null}"#,
            r#"{"version":1,"token":"","lifetime":null}"#,
            r#"{"version":1,"token":"a","lifetime":-1}"#,
        ] {
            let payload = Payload::from(text.as_bytes().to_vec());
            assert!(decode_access_token(&payload).is_none(), "{text}");
            assert!(decode_failure(&payload).is_none(), "{text}");
        }
    }
}
