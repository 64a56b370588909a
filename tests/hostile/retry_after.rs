//! `Retry-After`: the value of that header in a 503 of the token endpoint.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower_bearer::{PasswordGrant, TokenCache, TokenErrorKind, TokenSource};

use crate::paused;

/// What a cache waits at most, and a grant reports at most.
const CACHE: Duration = Duration::from_secs(300);
const GRANT: Duration = Duration::from_secs(10 * 366 * 86_400);
/// The longest pause that a first failure leads to by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

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
    held(&value, asked);
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

fn grant(value: &HeaderValue, calls: &Arc<AtomicUsize>) -> impl TokenSource {
    let (value, calls) = (value.clone(), calls.clone());
    let endpoint = tower::service_fn(move |_: Request<Full<Bytes>>| {
        calls.fetch_add(1, Ordering::SeqCst);
        let response = Response::builder()
            .status(503)
            .header(RETRY_AFTER, value.clone())
            .body(Full::<Bytes>::default());
        async { Ok::<_, Infallible>(response.expect("an answer")) }
    });
    PasswordGrant::voipex("me", "hunter2").transport(endpoint)
}

/// What the grant makes of the header.
fn asked(value: &HeaderValue) -> Option<Duration> {
    let grant = grant(value, &Arc::default());
    let error = paused::block_on(grant.fetch()).expect_err("a 503");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    error.retry_after()
}

/// For how long a cache is held back: never longer than its bound, never
/// shorter than was asked for within it, and after that for nothing.
fn held(value: &HeaderValue, asked: Option<Duration>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let tokens = TokenCache::new(grant(value, &calls));
    paused::block_on(async {
        let error = tokens.token().await.expect_err("a 503");
        let pause = error.retry_after().unwrap_or_default();
        let asked = asked.unwrap_or_default().min(CACHE);
        // Dates are read once more, a moment later.
        let slack = Duration::from_secs(2);
        assert!(pause + slack >= asked, "{value:?}: {pause:?}");
        assert!(pause <= CACHE.max(FIRST_PAUSE), "{value:?}: {pause:?}");
        assert!(pause <= asked.max(FIRST_PAUSE), "{value:?}: {pause:?}");

        if pause > Duration::from_millis(2) {
            tokens.token().await.expect_err("held back");
            assert_eq!(calls.load(Ordering::SeqCst), 1, "{value:?} was not heeded");
        }
        let before = calls.load(Ordering::SeqCst);
        tokio::time::sleep(pause + Duration::from_millis(2)).await;
        tokens.token().await.expect_err("a 503");
        assert_eq!(
            calls.load(Ordering::SeqCst),
            before + 1,
            "{value:?} outlasts itself"
        );
    });
}
