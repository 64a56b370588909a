//! Loads that must not reach the token endpoint: storms of 401s, an API that accepts
//! no token at all, and retries above the layer.

#![cfg(feature = "testing")]

mod common;

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, StatusCode};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tower::retry::Policy;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use common::{Answered, Body, api, call, get, layer, millis, parked, read, secs, served};
use tower_bearer::Outcome;
use tower_bearer::TokenError;
use tower_bearer::testing::{MockResponse, TokenServer};

/// All are in flight when the server revokes their token, and all get 401.
#[tokio::test(start_paused = true)]
async fn a_storm_of_ten_thousand_401s_costs_one_token_request_a_hundred_times_over() {
    const REQUESTS: u64 = 10_000;
    let (server, tokens) = served(TokenServer::builder().delay(millis(200)));
    let (open, gate) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
    let (service, is_open, opens) = (server.service(), open.clone(), gate.clone());
    let api = layer(&server, &tokens).layer(service_fn(move |request: Request<Body>| {
        let (mut service, open, gate) = (service.clone(), is_open.clone(), opens.clone());
        async move {
            if !open.load(Ordering::SeqCst) {
                gate.notified().await;
            }
            service.call(request).await
        }
    }));
    let call = || {
        let answer = api.clone().oneshot(get("http://localhost/v1/calls"));
        async { read(&answer.await.expect("an answer")) }
    };
    assert_eq!(call().await, (200, None));
    for storm in 1..=100 {
        let before = server.counts();
        open.store(false, Ordering::SeqCst);
        let mut flying = Vec::new();
        for _ in 0..REQUESTS {
            flying.push(parked(call()).await);
        }
        server.revoke_access_tokens();
        open.store(true, Ordering::SeqCst);
        gate.notify_waiters();
        for request in flying {
            assert_eq!(request.await, (200, Some(Outcome::Replayed)));
        }
        let counts = server.counts();
        assert_eq!(counts.token_requests, before.token_requests + 1, "{storm}");
        let rejected = counts.api_unauthorized - before.api_unauthorized;
        assert_eq!(
            (rejected, counts.api_ok - before.api_ok),
            (REQUESTS, REQUESTS)
        );
    }
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (1, 100));
    assert_eq!(tokens.status().generation, Some(101));
}

/// The first token, a renewal for the first 401, and one after each hold: 1, 2,
/// 4, 8, 16 and 32 s, then 60 s each.
const RENEWALS_IN_AN_HOUR: u64 = 2 + 6 + (3599 - 63) / 60;

/// 1000 requests a second. Without optimisation a tenth of that, for what
/// decides is the time.
#[tokio::test(start_paused = true)]
async fn an_hour_of_nothing_but_401s_makes_no_more_renewals_than_the_holds_allow() {
    let each = if cfg!(debug_assertions) { 10 } else { 1 };
    let (server, tokens) = served(TokenServer::builder());
    let api = api(&server, &tokens);
    server.api().set_default(MockResponse::unauthorized([
        "Bearer error=\"invalid_token\"",
    ]));
    let (start, mut replayed) = (Instant::now(), 0);
    while start.elapsed() < secs(3600) {
        match call(&api).await {
            (401, Some(Outcome::Replayed)) => replayed += 1,
            (401, Some(Outcome::RenewalBackedOff)) => {}
            other => panic!("{other:?}"),
        }
        sleep(millis(each)).await;
    }
    let counts = server.counts();
    assert_eq!(counts.token_requests, RENEWALS_IN_AN_HOUR);
    assert_eq!(replayed, RENEWALS_IN_AN_HOUR - 1);
    assert!(counts.api_requests >= 3_500_000 / each);
}

/// Tries ten times, whatever came.
#[derive(Clone)]
struct TenTimes(u32);

impl
    Policy<
        Request<Body>,
        http::Response<tower_bearer::testing::MockBody>,
        tower_bearer::Error<std::io::Error>,
    > for TenTimes
{
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<Body>, answer: &mut Answered) -> Option<Ready<()>> {
        let failed = answer.as_ref().map_or(true, |a| !a.status().is_success());
        self.0 -= 1;
        (failed && self.0 > 0).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Some(request.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn retries_above_the_layer_do_not_multiply_token_requests() {
    let down = MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("60");
    let refused = MockResponse::status(StatusCode::FORBIDDEN);
    for endpoint in [down, refused] {
        let (server, tokens) = served(TokenServer::builder());
        server.token_endpoint().set_default(endpoint);
        let stack = ServiceBuilder::new()
            .retry(TenTimes(10))
            .layer(layer(&server, &tokens))
            .service(server.service());
        let answer = stack.clone().oneshot(get("http://localhost/")).await;
        assert!(TokenError::find(&answer.expect_err("no token")).is_some());
        let counts = server.counts();
        assert_eq!((counts.token_requests, counts.api_requests), (1, 0));
    }
    // An API that fails, and one that takes no token.
    let failing = MockResponse::status(StatusCode::BAD_GATEWAY);
    for (api, tokens_cost, requests) in [
        (failing, 1, 10),
        (MockResponse::unauthorized(["Bearer"]), 2, 11),
    ] {
        let (server, tokens) = served(TokenServer::builder());
        server.api().set_default(api);
        let stack = ServiceBuilder::new()
            .retry(TenTimes(10))
            .layer(layer(&server, &tokens))
            .service(server.service());
        let answer = stack.clone().oneshot(get("http://localhost/")).await;
        assert!(!answer.expect("an answer").status().is_success());
        let counts = server.counts();
        let seen = (counts.token_requests, counts.api_requests);
        assert_eq!(seen, (tokens_cost, requests));
    }
}
