//! The answer of a token endpoint: its status in a first line of three digits
//! (200 without one), its body in the rest.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use tower_bearer::{PasswordGrant, TokenError, TokenErrorKind, TokenResponse, TokenSource};

use crate::paused;
use crate::shown::Words;

const PASSWORD: &str = "hunter2";
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(crate) fn check(input: &[u8]) {
    let (status, body) = split(input);
    match ask(status, body) {
        Ok(response) => accepted(status, body, &response),
        Err(error) => refused(status, body, &error),
    }
}

fn split(input: &[u8]) -> (StatusCode, &[u8]) {
    let line = input
        .split_at_checked(4)
        .filter(|(line, _)| line[3] == b'\n');
    let status =
        line.and_then(|(line, body)| Some((StatusCode::from_bytes(&line[..3]).ok()?, body)));
    status.unwrap_or((StatusCode::OK, input))
}

fn ask(status: StatusCode, body: &[u8]) -> Result<TokenResponse, TokenError> {
    let body = Bytes::copy_from_slice(body);
    let endpoint = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::new(body.clone()));
        *response.status_mut() = status;
        async { Ok::<_, Infallible>(response) }
    });
    let grant = PasswordGrant::voipex("me", PASSWORD).transport(endpoint);
    paused::block_on(grant.fetch())
}

/// The body as another reader reads it.
#[derive(Deserialize)]
struct Read {
    access_token: Option<Value>,
    token_type: Option<Value>,
    expires_in: Option<Value>,
    refresh_token: Option<Value>,
    refresh_expires_in: Option<Value>,
    error: Option<Value>,
}

fn read(body: &[u8]) -> Option<Read> {
    serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()
}

fn text(member: &Option<Value>) -> Option<&str> {
    member.as_ref()?.as_str()
}

fn accepted(status: StatusCode, body: &[u8], response: &TokenResponse) {
    assert!(status.is_success(), "a token out of a {status}");
    let token = response.access_token();
    assert!(
        is_b64token(token.secret()),
        "{:?} is no bearer token",
        token.secret()
    );
    assert!(token.header().is_sensitive());
    assert_eq!(
        token.header().as_bytes(),
        format!("Bearer {}", token.secret()).as_bytes()
    );
    assert!(token.lifetime() <= Some(CENTURY));

    let read = read(body).expect("a token out of what is no JSON");
    assert_eq!(text(&read.access_token), Some(token.secret()));
    let lifetime = read
        .expires_in
        .map(|member| member.as_u64().expect("whole seconds"));
    let lifetime = lifetime.map(|seconds| Duration::from_secs(seconds).min(CENTURY));
    assert_eq!(token.lifetime(), lifetime);
    if let Some(kind) = read.token_type {
        let kind = kind.as_str().expect("a text");
        assert!(
            kind.eq_ignore_ascii_case("bearer"),
            "a token of type {kind}"
        );
    }
    if let Some(refresh) = response.refresh_token() {
        assert_eq!(text(&read.refresh_token), Some(refresh.secret()));
        assert!(refresh.secret().bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert!(refresh.lifetime() <= Some(CENTURY));
        assert_ne!(refresh.lifetime(), Some(Duration::ZERO));
    }
    let debug = format!("{response:?} {response:#?}");
    for secret in [
        Some(token.secret()),
        response.refresh_token().map(|r| r.secret()),
    ] {
        let secret = secret.filter(|secret| secret.len() > 20);
        assert!(
            !secret.is_some_and(|secret| debug.contains(secret)),
            "{debug}"
        );
    }
}

/// Whether there is nothing to refuse a token for.
fn is_good(read: &Read) -> bool {
    // Of any type and value: what is wrong with it costs no token.
    let _ = &read.refresh_expires_in;
    let kind = read
        .token_type
        .as_ref()
        .map_or(Some("bearer"), Value::as_str);
    text(&read.access_token).is_some_and(is_b64token)
        && kind.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"))
        && read.expires_in.as_ref().is_none_or(Value::is_u64)
}

/// RFC 6750, section 2.1, once more.
pub(crate) fn is_b64token(text: &str) -> bool {
    let end = text.find('=').unwrap_or(text.len());
    let (body, padding) = text.split_at(end);
    !body.is_empty()
        && padding.bytes().all(|b| b == b'=')
        && body.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

fn refused(status: StatusCode, body: &[u8], error: &TokenError) {
    use TokenErrorKind::{InvalidResponse, Refused, Unavailable, UnexpectedRedirect};

    WORDS.are_all_of(error, body);
    let read = read(body);
    let code = read.as_ref().and_then(|read| text(&read.error));
    if let Some(kept) = error.oauth_error() {
        assert_eq!(code, Some(kept));
        let looks = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        assert!(
            kept.len() <= 64 && kept.bytes().all(looks),
            "{kept:?} is no code"
        );
        assert!(!kept.contains(PASSWORD), "{kept:?} gives the password back");
    }
    if status.is_success() && body.trim_ascii_start().starts_with(b"{") {
        assert!(!read.as_ref().is_some_and(is_good), "{error:?}");
    }
    assert_eq!(error.status(), Some(status));
    let kind = error.kind();
    match status.as_u16() {
        200..=299 => assert!(
            matches!(kind, InvalidResponse | Refused | Unavailable),
            "{error:?}"
        ),
        300..=399 => assert_eq!(kind, UnexpectedRedirect),
        // Tried again only if the server says so: each try counts against the
        // account.
        408 | 425 | 429 | 500..=599 => assert!(matches!(kind, Unavailable | Refused), "{error:?}"),
        400..=499 if kind != Refused => {
            assert_eq!(kind, Unavailable);
            let later = ["temporarily_unavailable", "server_error", "slow_down"];
            assert!(later.contains(&code.unwrap_or_default()), "{error:?}");
        }
        400..=499 => {}
        _ => assert!(
            matches!(kind, InvalidResponse | Refused | Unavailable),
            "{error:?}"
        ),
    }
    assert_eq!(error.is_transient(), kind == Unavailable);
}

/// What errors say of answers with nothing of anybody's in them.
pub(crate) fn harmless() -> Vec<TokenError> {
    let mut errors = Vec::new();
    let codes = [
        "invalid_grant",
        "invalid_client",
        "access_denied",
        "invalid_scope",
        "unsupported_grant_type",
        "invalid_request",
        "slow_down",
        "x",
    ];
    let mut bodies = vec![String::new(), "!".into(), "[]".into(), "{}".into()];
    bodies.push(r#"{"error":1,"error":1}"#.into());
    bodies.extend(codes.map(|code| format!(r#"{{"error":"{code}"}}"#)));
    bodies.extend(["", "é"].map(|token| format!(r#"{{"access_token":"{token}"}}"#)));
    for odd in ["1", "[]", "{}", "true"] {
        bodies.push(format!(r#"{{"access_token":{odd}}}"#));
        bodies.push(format!(r#"{{"access_token":"a","token_type":{odd}}}"#));
        bodies.push(format!(r#"{{"access_token":"a","expires_in":{odd}}}"#));
    }
    for odd in ["\"\"", "-1", "0.5", "1e30"] {
        bodies.push(format!(r#"{{"access_token":"a","expires_in":{odd}}}"#));
    }
    bodies.push(r#"{"access_token":"a","token_type":"b"}"#.into());
    for status in [101, 200, 302, 307, 400, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        errors.extend(
            bodies
                .iter()
                .filter_map(|body| ask(status, body.as_bytes()).err()),
        );
    }
    errors
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::of(6, &harmless()));
