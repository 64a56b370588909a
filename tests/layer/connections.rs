//! A rejected request costs no connection: the response that rejected the token is
//! read to its end, and the client has its connection back before the replay.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt, service_fn};

use common::{Body, Count, get, millis, secs};
use tower_bearer::{AccessToken, BearerAuthLayer, Origins, Outcome, TokenCache};

const API: &str = "https://api.example.com";

/// A client that keeps its connections like hyper's: a task reads the body, wakes
/// its reader, and only then the task that returns the connection to the pool.
#[derive(Clone, Default)]
struct Client {
    opened: Count,
    idle: Arc<AtomicUsize>,
}

impl Client {
    fn send(&self, rejects: bool, rejection: Vec<Part>) -> Response<Chunks> {
        let take = |idle: usize| idle.checked_sub(1);
        if self.idle.fetch_update(SeqCst, SeqCst, take).is_err() {
            self.opened.up();
        }
        let parts = if rejects { rejection } else { Vec::new() };
        let left = parts.iter().map(|part| part.bytes).sum();
        let (send, chunks) = mpsc::channel(1);
        let (is_idle, idle) = oneshot::channel();
        let read = async move {
            for part in parts {
                sleep(millis(part.after)).await;
                if send
                    .send(Bytes::from(vec![b'x'; part.bytes]))
                    .await
                    .is_err()
                {
                    return; // The connection is closed.
                }
            }
            let _ = is_idle.send(());
        };
        let pool = self.idle.clone();
        let put_back = async move {
            if idle.await.is_ok() {
                pool.fetch_add(1, SeqCst);
            }
        };
        tokio::spawn(read);
        tokio::spawn(put_back);
        let mut response = Response::new(Chunks { chunks, left });
        if rejects {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    }
}

/// A part of a body, this many milliseconds after the previous one.
#[derive(Clone, Copy)]
struct Part {
    after: u64,
    bytes: usize,
}

struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    left: usize,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.chunks.poll_recv(cx).map(|chunk| {
            let chunk = chunk?;
            self.left -= chunk.len();
            Some(Ok(Frame::data(chunk)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// Sends a request whose token is rejected once, and returns how many connections
/// that took, and how long.
async fn replayed(rejection: &[Part]) -> (usize, u128) {
    let (client, rejected) = (Client::default(), Arc::new(AtomicBool::new(false)));
    let (of, rejection) = (client.clone(), rejection.to_vec());
    let service = service_fn(move |_: Request<Body>| {
        let rejects = !rejected.swap(true, SeqCst);
        let response = of.send(rejects, rejection.clone());
        async { Ok::<_, Infallible>(response) }
    });
    let tokens = TokenCache::new(|| async {
        Ok::<_, tower_bearer::TokenError>(AccessToken::new("t")?.with_lifetime(secs(3600)))
    });
    tokens.token().await.expect("a token");
    let origins = Origins::only([API]).expect("an origin");
    let api = BearerAuthLayer::new(tokens, origins).layer(service);
    let start = Instant::now();
    // In a separate task: the future of `block_on` runs after all tasks anyway.
    let response = tokio::spawn(api.oneshot(get(API))).await;
    let response = response.expect("no panic").expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
    (client.opened.get(), start.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn a_rejected_response_gives_its_connection_back_before_the_replay() {
    let part = |after, bytes| Part { after, bytes };
    for (what, rejection, waits) in [
        ("empty", vec![], 0),
        ("at once", vec![part(0, 2000)], 0),
        ("late", vec![part(50, 2000)], 50),
        ("in pieces", vec![part(10, 1000); 5], 50),
        ("the most", vec![part(0, 64 * 1024); 4], 0),
    ] {
        assert_eq!(replayed(&rejection).await, (1, waits), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_long_or_too_slow_is_not_waited_for() {
    let part = |after, bytes| Part { after, bytes };
    for (what, rejection, waits) in [
        ("too long", vec![part(0, 64 * 1024); 5], 0),
        ("too slow", vec![part(60, 1000); 5], 100),
        ("never", vec![part(1_000_000, 1000)], 100),
    ] {
        assert_eq!(replayed(&rejection).await, (2, waits), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_carries_the_token_that_is_in_use_once_the_rejection_is_read() {
    let client = Client::default();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = sent.clone();
    let service = service_fn(move |request: Request<Body>| {
        let value = request.headers()[AUTHORIZATION].to_str().map(str::to_owned);
        let value = value.expect("text");
        let rejects = value == "Bearer t1";
        seen.lock().expect("no panic").push(value);
        let late = Part {
            after: 50,
            bytes: 1000,
        };
        let response = client.send(rejects, vec![late]);
        async { Ok::<_, Infallible>(response) }
    });
    let fetches = Count::default();
    let tokens = TokenCache::new(move || {
        fetches.up();
        let text = format!("t{}", fetches.get());
        async { AccessToken::new(text) }
    });
    tokens.token().await.expect("a token");
    let origins = Origins::only([API]).expect("an origin");
    let api = BearerAuthLayer::new(tokens.clone(), origins).layer(service);
    let request = tokio::spawn(api.oneshot(get(API)));
    sleep(millis(20)).await;
    tokens.invalidate();
    tokens.token().await.expect("a token");
    let response = request.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), 200);
    let sent = sent.lock().expect("no panic");
    assert_eq!(*sent, ["Bearer t1", "Bearer t3"]);
}
