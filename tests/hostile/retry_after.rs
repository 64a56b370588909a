//! `Retry-After`: the value of that header in a 429 of the token endpoint, after
//! which the same fetch makes no second attempt.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower_bearer::grant::ClientCredentialsGrant;
use tower_bearer::transport::Transport;
use tower_bearer::{PasswordGrant, TokenCache, TokenErrorKind, TokenSource};

use crate::paused;

/// The longest pause that a cache waits, and that a grant reports.
const CACHE: Duration = Duration::from_secs(300);
const GRANT: Duration = Duration::from_secs(10 * 366 * 86_400);
/// The pauses after a first failure without `Retry-After`: of a client, and of a
/// person, whose account may be locked.
const CLIENT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_millis(250);
const PERSON: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_millis(6250);

pub(crate) fn check(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let asked = asked(&value);
    if let Some(asked) = asked {
        assert!(!asked.is_zero() && asked <= GRANT, "{value:?}: {asked:?}");
    }
    match digits(&value) {
        Some(Ok(seconds)) => assert_eq!(
            asked,
            (seconds > 0).then(|| Duration::from_secs(seconds).min(GRANT)),
            "{value:?}"
        ),
        Some(Err(())) => assert_eq!(asked, Some(GRANT), "{value:?}"),
        // A date, at most: it has a digit, a letter and a colon.
        None if asked.is_some() => {
            let text = value.to_str().expect("a date is ASCII");
            assert!(text.len() >= 24 && text.contains(':'), "{value:?}");
        }
        None => {}
    }
    let calls = Arc::default();
    held(&value, asked, client(&value, &calls), &calls, CLIENT);
    let calls = Arc::default();
    held(&value, asked, person(&value, &calls), &calls, PERSON);
}

/// Digits alone, read by other means; an error if they are too many.
fn digits(value: &HeaderValue) -> Option<Result<u64, ()>> {
    let text = value.to_str().ok()?.trim();
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_digit()) {
        return None;
    }
    let significant = text.trim_start_matches('0');
    let value = significant.chars().try_fold(0_u64, |sum, c| {
        let digit = c.to_digit(10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    });
    Some(value.ok_or(()))
}

fn client(value: &HeaderValue, calls: &Arc<AtomicUsize>) -> impl TokenSource {
    let grant = ClientCredentialsGrant::new("https://a.example/token", "me").expect("valid");
    grant
        .client_secret("hunter2")
        .transport(endpoint(value, calls))
}

/// A different person each time, because failures are remembered by the password.
fn person(value: &HeaderValue, calls: &Arc<AtomicUsize>) -> impl TokenSource {
    static PERSONS: AtomicUsize = AtomicUsize::new(0);
    let name = format!("me-{}", PERSONS.fetch_add(1, Ordering::SeqCst));
    PasswordGrant::voipex(name, "hunter2").transport(endpoint(value, calls))
}

fn endpoint(value: &HeaderValue, calls: &Arc<AtomicUsize>) -> impl Transport + use<> {
    let (value, calls) = (value.clone(), calls.clone());
    tower::service_fn(move |_: Request<Full<Bytes>>| {
        calls.fetch_add(1, Ordering::SeqCst);
        let response = Response::builder()
            .status(429)
            .header(RETRY_AFTER, value.clone())
            .body(Full::<Bytes>::default());
        async { Ok::<_, Infallible>(response.expect("an answer")) }
    })
}

/// Returns what the grant reads from the header.
fn asked(value: &HeaderValue) -> Option<Duration> {
    let grant = client(value, &Arc::default());
    let error = paused::block_on(grant.fetch()).expect_err("a 429");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    error.retry_after()
}

/// For how long a cache is held back: never longer than its bound, never
/// shorter than was asked for within it, and after that for nothing.
fn held(
    value: &HeaderValue,
    asked: Option<Duration>,
    grant: impl TokenSource,
    calls: &AtomicUsize,
    first: RangeInclusive<Duration>,
) {
    let tokens = TokenCache::new(grant);
    paused::block_on(async {
        let error = tokens.token().await.expect_err("a 429");
        let pause = error.retry_after().unwrap_or_default();
        let asked = asked.unwrap_or_default().min(CACHE);
        // Dates are read once more, a moment later.
        let slack = Duration::from_secs(2);
        assert!(pause + slack >= asked, "{value:?}: {pause:?}");
        assert!(pause >= *first.start(), "{value:?}: {pause:?}");
        assert!(pause <= CACHE, "{value:?}: {pause:?}");
        assert!(pause <= asked.max(*first.end()), "{value:?}: {pause:?}");

        if pause > Duration::from_millis(2) {
            tokens.token().await.expect_err("held back");
            assert_eq!(calls.load(Ordering::SeqCst), 1, "{value:?} was not heeded");
        }
        let before = calls.load(Ordering::SeqCst);
        tokio::time::sleep(pause + Duration::from_millis(2)).await;
        tokens.token().await.expect_err("a 429");
        assert_eq!(
            calls.load(Ordering::SeqCst),
            before + 1,
            "{value:?} outlasts itself"
        );
    });
}
