//! `LoadShed` and `Hedge` around the layer: how they treat a waiting call and a
//! replay.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/limited.rs"]
mod limited;

use http::Request;
use tokio::time::{sleep, timeout};
use tower::buffer::Buffer;
use tower::hedge::{Hedge, Policy};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use common::{Body, Count, get, secs};
use limited::{API, api, join_all, origins, tokens};
use tower_bearer::BearerAuthLayer;

#[tokio::test(start_paused = true)]
async fn a_replay_of_the_only_caller_is_not_shed() {
    let (tokens, revoked) = (tokens(), Count::default());
    let client = ServiceBuilder::new()
        .load_shed()
        .concurrency_limit(1)
        .service(api(&revoked));
    let client = BearerAuthLayer::new(tokens, origins()).layer(client);
    for _ in 0..5 {
        let answer = client.clone().oneshot(get(API)).await.expect("not shed");
        assert_eq!(answer.status(), 200);
        revoked.up();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_who_wait_for_a_token_are_not_shed_above_the_layer() {
    let client = ConcurrencyLimit::new(api(&Count::default()), 4);
    let client = BearerAuthLayer::new(tokens(), origins()).layer(client);
    let client = ServiceBuilder::new().load_shed().service(client);
    let calls = (0..16).map(|_| client.clone().oneshot(get(API)));
    let answers: Vec<_> = timeout(secs(5), join_all(calls)).await.expect("no hang");
    let ok = answers.iter().filter(|it| it.is_ok()).count();
    println!("{ok} of 16 ok");
    assert_eq!(ok, 16);
}

#[derive(Clone)]
struct Always;

impl Policy<Request<Body>> for Always {
    fn clone_request(&self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }

    fn can_retry(&self, _: &Request<Body>) -> bool {
        true
    }
}

/// Hedging is for the API's time, not for the wait for a token: below the layer it
/// does not see that wait.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_token_is_sent_once_over_a_hedge_below_the_layer() {
    let calls = Count::default();
    let (counted, inner) = (calls.clone(), api(&Count::default()));
    let counting = tower::service_fn(move |request: Request<Body>| {
        counted.up();
        inner.clone().call(request)
    });
    let latencies = [10; 100];
    let hedge = Hedge::new_with_mock_latencies(counting, Always, 10, 0.9, secs(10), &latencies);
    let client = BearerAuthLayer::new(tokens(), origins()).layer(Buffer::new(hedge, 8));
    for _ in 0..3 {
        let answer = client.clone().oneshot(get(API)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        sleep(secs(1)).await;
    }
    assert_eq!(calls.get(), 3);
}

/// Above the layer it takes the wait for a slow answer. The call comes a second
/// time; both get the one token of one fetch.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_token_is_sent_twice_at_the_most_under_a_hedge() {
    let calls = Count::default();
    let (counted, inner) = (calls.clone(), api(&Count::default()));
    let counting = tower::service_fn(move |request: Request<Body>| {
        counted.up();
        inner.clone().call(request)
    });
    let tokens = tokens();
    let client = BearerAuthLayer::new(tokens.clone(), origins()).layer(counting);
    let latencies = [10; 100];
    let mut hedge = Hedge::new_with_mock_latencies(client, Always, 10, 0.9, secs(10), &latencies);
    let answer = hedge.ready().await.expect("ready").call(get(API)).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert!(calls.get() <= 2, "{}", calls.get());
    assert_eq!(tokens.status().generation, Some(1), "one fetch");
}
