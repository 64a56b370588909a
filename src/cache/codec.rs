//! Tokens and failures as a store keeps them: JSON, which another release of
//! this crate reads too.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::error::{TokenError, TokenErrorKind};
use crate::store::Payload;
use crate::token::{AccessToken, RefreshToken};

/// Of the form below. A reader takes no other.
const VERSION: u32 = 1;

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
    refused: bool,
    status: Option<u16>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    /// Of the credentials.
    fingerprint: u64,
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

/// A refresh token that has so much of its life left.
pub(crate) fn decode_refresh_token(payload: &Payload, left: Duration) -> Option<RefreshToken> {
    let (token, lifetime) = decode_token(payload)?;
    let token = RefreshToken::new(token).ok()?;
    Some(match lifetime {
        Some(lifetime) => token.with_lifetime(lifetime.min(left)),
        None => token,
    })
}

fn encode_token(token: &str, lifetime: Option<Duration>) -> Option<Payload> {
    // Room for every character escaped, so that the buffer never grows and
    // leaves nothing behind.
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

/// A failure that holds for the whole fleet: what the token endpoint itself
/// said. What a process could not reach, another may.
pub(crate) fn encode_failure(error: &TokenError, fingerprint: u64) -> Option<Payload> {
    let refused = match error.kind() {
        TokenErrorKind::Refused => true,
        TokenErrorKind::Unavailable => false,
        _ => return None,
    };
    let record = Failure {
        version: VERSION,
        refused,
        status: error.status().map(|status| status.as_u16()),
        error: error.oauth_error().map(Into::into),
        fingerprint,
    };
    encode(&record, 256)
}

/// The failure, unless it is a refusal of other credentials than these.
pub(crate) fn decode_failure(payload: &Payload, fingerprint: u64) -> Option<TokenError> {
    let record: Failure<'_> = serde_json::from_slice(payload.as_bytes()).ok()?;
    if record.version != VERSION || (record.refused && record.fingerprint != fingerprint) {
        return None;
    }
    let (kind, what) = if record.refused {
        (
            TokenErrorKind::Refused,
            "the token endpoint refused another process of the fleet",
        )
    } else {
        (
            TokenErrorKind::Unavailable,
            "the token endpoint had another process of the fleet come again later",
        )
    };
    let error = TokenError::new(kind, what);
    let status = record.status.and_then(|it| StatusCode::from_u16(it).ok());
    Some(match status {
        Some(status) => error.with_response(status, record.error.as_deref()),
        None => error,
    })
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

    #[test]
    fn only_what_the_endpoint_said_is_for_the_fleet() {
        use TokenErrorKind::*;
        for (kind, shared) in [
            (Refused, true),
            (Unavailable, true),
            (Connect, false),
            (Timeout, false),
            (InvalidResponse, false),
            (Source, false),
        ] {
            let error =
                TokenError::new(kind, "x").with_response(StatusCode::BAD_REQUEST, Some("e"));
            let read = encode_failure(&error, 7).map(|it| decode_failure(&it, 7).expect("read"));
            assert_eq!(read.is_some(), shared, "{kind:?}");
            if let Some(read) = read {
                assert_eq!(
                    (read.kind(), read.status(), read.oauth_error()),
                    (kind, error.status(), Some("e"))
                );
            }
        }
    }

    #[test]
    fn a_refusal_is_that_of_the_credentials_that_were_refused() {
        let write = |kind| encode_failure(&TokenError::new(kind, "x"), 7).expect("written");
        assert!(decode_failure(&write(TokenErrorKind::Refused), 8).is_none());
        assert!(decode_failure(&write(TokenErrorKind::Unavailable), 8).is_some());
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
            assert!(decode_failure(&payload, 0).is_none(), "{text}");
        }
    }
}
