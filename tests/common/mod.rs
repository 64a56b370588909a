//! Helpers for the tests of a token's life.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceExt};

use tower_bearer::testing::{MockBody, TokenServer, TokenServerBuilder, TokenService};
use tower_bearer::{
    AccessToken, BearerAuth, BearerAuthLayer, Error, Origins, Outcome, TokenCache, TokenError,
};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Api = BearerAuth<TokenService>;
pub(crate) type Answered = Result<Response<MockBody>, Error<std::io::Error>>;

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A number that goes up.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Count {
    pub(crate) fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A token with a lifetime of this many seconds.
pub(crate) fn token(text: &str, lifetime: u64) -> Result<AccessToken, TokenError> {
    Ok(AccessToken::new(text)?.with_lifetime(secs(lifetime)))
}

/// A source that takes a second and yields `t1`, `t2` and so on.
pub(crate) fn slow(lifetime: u64) -> (TokenCache, Count) {
    let count = Count::default();
    let fetches = count.clone();
    let tokens = TokenCache::new(move || {
        let n = fetches.up();
        async move {
            tokio::time::sleep(secs(1)).await;
            token(&format!("t{n}"), lifetime)
        }
    });
    (tokens, count)
}

/// A server whose default password needs no care, and a cache of its tokens.
pub(crate) fn served(builder: TokenServerBuilder) -> (TokenServer, TokenCache) {
    let server = builder.user("me", "pw").in_process();
    let tokens = TokenCache::new(server.grant());
    (server, tokens)
}

/// The server's API behind the layer.
pub(crate) fn api(server: &TokenServer, tokens: &TokenCache) -> Api {
    layer(server, tokens).layer(server.service())
}

pub(crate) fn layer(server: &TokenServer, tokens: &TokenCache) -> BearerAuthLayer {
    let origins = Origins::only([server.api_url()]).expect("an origin");
    BearerAuthLayer::new(tokens.clone(), origins)
}

pub(crate) fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Full::default()).expect("a request")
}

/// One request to the API.
pub(crate) async fn send(api: &Api) -> Answered {
    api.clone().oneshot(get("http://localhost/v1/calls")).await
}

/// One request that is answered: its status and what the layer did.
pub(crate) async fn call(api: &Api) -> (u16, Option<Outcome>) {
    read(&send(api).await.expect("an answer"))
}

pub(crate) fn read<B>(response: &Response<B>) -> (u16, Option<Outcome>) {
    let outcome = response.extensions().get().copied();
    (response.status().as_u16(), outcome)
}

/// Returns the result of a future that is ready without waiting.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A future that was polled once and is on its way, so that it is known to wait.
pub(crate) async fn parked<F: Future + Send + 'static>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| {
        assert!(
            future.as_mut().poll(context).is_pending(),
            "it did not wait"
        );
        Poll::Ready(())
    })
    .await;
    future
}

/// A wall clock that follows tokio's, until it is set.
#[derive(Clone)]
pub(crate) struct Wall {
    start: tokio::time::Instant,
    /// Seconds ahead of tokio's clock, plus `BASE`.
    ahead: Arc<AtomicU64>,
}

const BASE: u64 = 1 << 32;

impl Wall {
    pub(crate) fn new() -> Self {
        Self {
            start: tokio::time::Instant::now(),
            ahead: Arc::new(AtomicU64::new(BASE)),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::SeqCst);
        SystemTime::UNIX_EPOCH + secs(ahead) + self.start.elapsed()
    }

    /// Suspends the machine for this many seconds, or sets the clock.
    pub(crate) fn jump(&self, seconds: i64) {
        let change = |ahead: u64| ahead.checked_add_signed(seconds);
        let _ = self
            .ahead
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}
