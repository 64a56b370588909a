//! The response of a token endpoint: its status in a first line of three digits (200
//! if missing), followed by an `f` if it is a form; then its body.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tower_bearer::{PasswordGrant, TokenError, TokenErrorKind, TokenResponse, TokenSource};
use url::form_urlencoded;

use crate::paused;
use crate::shown::Words;

const PASSWORD: &str = "hunter2";
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(crate) fn check(input: &[u8]) {
    let (status, is_form, body) = split(input);
    match ask(status, is_form, body) {
        Ok(response) => accepted(status, is_form, body, &response),
        Err(error) => refused(status, is_form, body, &error),
    }
}

fn split(input: &[u8]) -> (StatusCode, bool, &[u8]) {
    let split = || {
        let (status, rest) = input.split_at_checked(3)?;
        let (is_form, rest) = match rest.strip_prefix(b"f") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let body = rest.strip_prefix(b"\n")?;
        Some((StatusCode::from_bytes(status).ok()?, is_form, body))
    };
    split().unwrap_or((StatusCode::OK, false, input))
}

fn ask(status: StatusCode, is_form: bool, body: &[u8]) -> Result<TokenResponse, TokenError> {
    let body = Bytes::copy_from_slice(body);
    let endpoint = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::new(body.clone()));
        *response.status_mut() = status;
        if is_form {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            response.headers_mut().insert(CONTENT_TYPE, form);
        }
        async { Ok::<_, Infallible>(response) }
    });
    let grant = PasswordGrant::voipex("me", PASSWORD).transport(endpoint);
    paused::block_on(grant.fetch())
}

/// A value as another reader reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Null,
    Text(String),
    Number(String),
    Other(String),
}

impl Value {
    fn of(json: &str) -> Self {
        match json.as_bytes()[0] {
            b'n' => Self::Null,
            b'-' | b'0'..=b'9' => Self::Number(json.to_owned()),
            _ => {
                serde_json::from_str(json).map_or_else(|_| Self::Other(json.to_owned()), Self::Text)
            }
        }
    }
}

/// The members, each with its values but `null`.
struct Read(HashMap<String, Vec<Value>>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(HashMap::new()))
    }
}

impl<'de> Visitor<'de> for Read {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key()? {
            let json = map.next_value::<Box<RawValue>>()?;
            self.add(name, Value::of(json.get()));
        }
        Ok(self)
    }
}

impl Read {
    fn add(&mut self, name: String, value: Value) {
        if value != Value::Null {
            self.0.entry(name).or_default().push(value);
        }
    }

    /// The value of a member, if all of its values are the same.
    fn get(&self, name: &str) -> Option<&Value> {
        let (first, rest) = self.0.get(name)?.split_first()?;
        rest.iter().all(|value| value == first).then_some(first)
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

fn read(is_form: bool, body: &[u8]) -> Option<Read> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if is_form && !body.trim_ascii_start().starts_with(b"{") {
        let mut read = Read(HashMap::new());
        for (name, value) in form_urlencoded::parse(body.trim_ascii()) {
            read.add(name.into_owned(), Value::Text(value.into_owned()));
        }
        return Some(read);
    }
    serde_json::from_str(&String::from_utf8_lossy(body)).ok()
}

/// A number, or a text that is one, above zero.
fn seconds(value: &Value) -> Option<Duration> {
    let (Value::Text(text) | Value::Number(text)) = value else {
        return None;
    };
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0c']);
    let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
    let number: f64 = text.parse().ok().filter(|_| text.chars().all(is_number))?;
    let lifetime = match number > 0.0 {
        true => Duration::try_from_secs_f64(number).unwrap_or(CENTURY),
        false => return None,
    };
    Some(lifetime.min(CENTURY)).filter(|lifetime| !lifetime.is_zero())
}

/// Whether a token may know its own end.
fn is_jwt(token: &str) -> bool {
    token.split('.').count() == 3
}

fn is_bearer(token_type: &str) -> bool {
    token_type.is_empty() || token_type.eq_ignore_ascii_case("bearer")
}

fn accepted(status: StatusCode, is_form: bool, body: &[u8], response: &TokenResponse) {
    assert!(status.is_success(), "a token out of a {status}");
    let token = response.access_token();
    assert!(
        is_access_token(token.secret()),
        "{:?} is no bearer token",
        token.secret()
    );
    assert!(token.header().is_sensitive());
    assert_eq!(
        token.header().as_bytes(),
        format!("Bearer {}", token.secret()).as_bytes()
    );
    assert!(token.lifetime() <= Some(CENTURY));

    let read = read(is_form, body).expect("a token out of what cannot be read");
    assert_eq!(read.text("access_token"), Some(token.secret()));
    let lifetime = read.get("expires_in").and_then(seconds);
    if lifetime.is_some() || !is_jwt(token.secret()) {
        assert_eq!(token.lifetime(), lifetime);
    }
    if let Some(kind) = read.get("token_type") {
        let Value::Text(kind) = kind else {
            panic!("a token of type {kind:?}");
        };
        let kind = kind.trim();
        assert!(is_bearer(kind), "a token of type {kind}");
    }
    if let Some(refresh) = response.refresh_token() {
        assert_eq!(read.text("refresh_token"), Some(refresh.secret()));
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
    let kind = match read.0.contains_key("token_type") {
        false => Some(""),
        true => read.text("token_type"),
    };
    read.text("access_token").is_some_and(is_access_token)
        && kind.is_some_and(|kind| is_bearer(kind.trim()))
}

/// RFC 6749, appendix A.12, once more.
pub(crate) fn is_access_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x21..=0x7e).contains(&b))
}

fn refused(status: StatusCode, is_form: bool, body: &[u8], error: &TokenError) {
    use TokenErrorKind::{InvalidResponse, Refused, Unavailable, UnexpectedRedirect};

    WORDS.are_all_of(error, body);
    if let Some(description) = error.description() {
        assert!(!description.contains(PASSWORD), "{description:?}");
        assert!(
            !description.chars().any(char::is_control),
            "{description:?}"
        );
    }
    let read = read(is_form, body);
    let code = read.as_ref().and_then(|read| read.text("error"));
    if let Some(kept) = error.oauth_error() {
        assert_eq!(code, Some(kept));
        let looks = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        assert!(
            kept.len() <= 64 && kept.bytes().all(looks),
            "{kept:?} is no code"
        );
        assert!(!kept.contains(PASSWORD), "{kept:?} gives the password back");
    }
    if status.is_success() {
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

/// The errors about harmless responses.
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
    }
    for name in ["access_token", "token_type", "error"] {
        bodies.push(format!(r#"{{"{name}":"a","{name}":"b"}}"#));
        bodies.push(format!(
            r#"{{"access_token":"a","{name}":"a","{name}":"b"}}"#
        ));
    }
    bodies.push(r#"{"access_token":"a","token_type":"b"}"#.into());
    for status in [101, 200, 302, 307, 400, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        errors.extend(
            bodies
                .iter()
                .filter_map(|body| ask(status, false, body.as_bytes()).err()),
        );
    }
    errors
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::of(6, &harmless()));
