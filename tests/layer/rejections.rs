//! 401: a rejected token is renewed once, the request is sent once more, and an API
//! that answers 401 for other reasons causes no load.

#![cfg(feature = "testing")]

#[path = "../common/mod.rs"]
mod common;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use common::{
    Body, Count, api, at_once, call, get, layer, millis, parked, read, secs, send, served,
};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{NoReplay, Outcome, TokenCache, TokenError, TokenErrorKind};

fn server() -> (TokenServer, TokenCache) {
    served(TokenServer::builder())
}

fn rejecting() -> MockResponse {
    MockResponse::unauthorized(["Bearer error=\"invalid_token\""])
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_renewed_and_the_request_sent_once_more() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await, (200, None));
    server.revoke_access_tokens();
    assert_eq!(call(&api).await, (200, Some(Outcome::Replayed)));
    assert_eq!(call(&api).await, (200, None));
    assert_eq!(tokens.status().generation, Some(2));
    let counts = server.counts();
    assert_eq!((counts.token_requests, counts.api_requests), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_an_old_token_uses_the_newer_one_without_a_fetch() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await.0, 200);
    // The API looks at the token at the end of the ten seconds.
    server
        .api()
        .enqueue([MockResponse::default().after(secs(10))]);
    let late = parked({
        let api = api.clone();
        async move { call(&api).await }
    });
    let late = late.await;
    server.revoke_access_tokens();
    assert_eq!(call(&api).await, (200, Some(Outcome::Replayed)));
    assert_eq!(late.await, (200, Some(Outcome::Replayed)));
    assert_eq!(tokens.status().generation, Some(2));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_rejected_too_comes_back_as_the_401_it_is() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    server.api().set_default(rejecting());
    assert_eq!(call(&api).await, (401, Some(Outcome::Replayed)));
    assert_eq!(call(&api).await, (401, Some(Outcome::RenewalBackedOff)));
    let held = tokens.status().rejection_backoff.expect("held back");
    assert!(held <= secs(1), "{held:?}");
    assert_eq!(server.token_requests(), 2);
    // A success says that the API takes tokens again.
    server.clear_responses();
    assert_eq!(call(&api).await, (200, None));
    assert_eq!(tokens.status().rejection_backoff, None);
    server.revoke_access_tokens();
    assert_eq!(call(&api).await, (200, Some(Outcome::Replayed)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_copied_gives_up_the_token_for_the_next() {
    let (server, tokens) = server();
    let api = layer(&server, &tokens)
        .replay(NoReplay)
        .layer(server.service());
    let call = || async {
        let response = api.clone().oneshot(get("http://localhost/")).await;
        read(&response.expect("an answer"))
    };
    assert_eq!(call().await, (200, None));
    server.revoke_access_tokens();
    assert_eq!(call().await, (401, Some(Outcome::NotCopied)));
    assert_eq!(call().await, (200, None));
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_401_about_the_scope_costs_no_token() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    for challenges in [
        &["Bearer error=\"insufficient_scope\", scope=\"admin\""] as &[&str],
        &["Basic realm=\"x\"", "Bearer error=\"insufficient_scope\""],
    ] {
        server
            .api()
            .enqueue([MockResponse::unauthorized(challenges)]);
        assert_eq!(call(&api).await, (401, Some(Outcome::Unrelated)));
    }
    server
        .api()
        .enqueue([MockResponse::insufficient_scope("admin")]);
    assert_eq!(call(&api).await, (403, None));
    assert_eq!(tokens.status().generation, Some(1));
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_401_is_a_rejection_whatever_scheme_its_challenge_names() {
    let long = format!("Bearer realm=\"{}\"", "x".repeat(65_500));
    let ten: Vec<_> = (0..9).map(|n| format!("Scheme{n} realm=\"x\"")).collect();
    let ten: Vec<&str> = ten.iter().map(String::as_str).chain(["Bearer"]).collect();
    let commas = ",".repeat(65_536);
    for challenges in [
        &[] as &[&str],
        &["Bearer"],
        &["bEARER realm=\"api\""],
        &[""],
        &["=\"\"\"\\"],
        &["\u{fc}ber"],
        &["Token error=\"Expired token\""],
        &["JWT realm=test zone"],
        &["error=invalid_request,error_description=Invalid request"],
        &["Basic realm=\"x\""],
        &["Negotiate", "Digest realm=\"x\""],
        &[&commas],
        &[&long],
        &ten,
    ] {
        let (server, tokens) = server();
        let api = api(&server, &tokens);
        server
            .api()
            .enqueue([MockResponse::unauthorized(challenges)]);
        let outcome = Some(Outcome::Replayed);
        assert_eq!(call(&api).await, (200, outcome), "{challenges:.80?}");
        assert_eq!(server.token_requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_request_without_our_token_says_why_if_it_is_not_the_callers_own() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    let own = Request::get("http://localhost/").header("authorization", "Bearer own");
    let own = own.body(Body::default()).expect("a request");
    let elsewhere = get("http://127.0.0.1/");
    for (request, outcome) in [(own, None), (elsewhere, Some(Outcome::OriginNotListed))] {
        let response = api.clone().oneshot(request).await.expect("an answer");
        assert_eq!(read(&response), (401, outcome));
    }
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn while_fetches_are_held_back_a_401_comes_back_at_once_with_the_error_from_memory() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await.0, 200);
    server.revoke_access_tokens();
    server
        .token_endpoint()
        .set_default(MockResponse::status(StatusCode::SERVICE_UNAVAILABLE).retry_after("60"));
    let start = Instant::now();
    for _ in 0..10 {
        let response = send(&api).await.expect("the API's answer");
        assert_eq!(read(&response), (401, Some(Outcome::RenewalFailed)));
        let error = response.extensions().get::<TokenError>();
        let error = error.expect("the token's error");
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(secs(60)));
    }
    assert_eq!(start.elapsed(), secs(0));
    assert_eq!(server.token_requests(), 2);
}

/// The service is polled for readiness before each of both calls, and the one
/// that was ready is the one that is called.
#[tokio::test(start_paused = true)]
async fn a_replay_waits_until_the_service_is_ready_again() {
    let (server, tokens) = server();
    tokens.token().await.expect("a token");
    server.revoke_access_tokens();
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, _>();
    let mut api = layer(&server, &tokens).layer(service);
    handle.allow(1);
    let ready = api.ready().await.expect("ready");
    let mut answer = tokio::spawn(ready.call(get("http://localhost/")));
    let (_, reply) = handle.next_request().await.expect("a request");
    let mut rejected = http::Response::new(String::new());
    *rejected.status_mut() = StatusCode::UNAUTHORIZED;
    reply.send_response(rejected);
    sleep(secs(1)).await;
    assert!(!answer.is_finished());
    assert_eq!(
        server.token_requests(),
        2,
        "the token is there, the service not"
    );
    handle.allow(1);
    let (request, reply) = handle.next_request().await.expect("the replay");
    let sent = request.headers()["authorization"].clone();
    assert_eq!(sent, *tokens.token().await.expect("a token").header());
    reply.send_response(http::Response::new(String::new()));
    let response = (&mut answer).await.expect("no panic").expect("an answer");
    assert_eq!(response.extensions().get(), Some(&Outcome::Replayed));
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_during_its_replay_leaves_nothing_behind() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await.0, 200);
    server.revoke_access_tokens();
    server.set_delay(secs(5));
    let waiting = tokio::time::timeout(secs(1), call(&api)).await;
    assert!(waiting.is_err());
    sleep(secs(5)).await;
    assert_eq!(at_once(call(&api)), Some((200, None)));
    assert_eq!(server.token_requests(), 2);
}

/// Two routes: `/odd` answers 401 for other reasons, after a while, and the others
/// accept the token.
#[tokio::test(start_paused = true)]
async fn one_route_that_always_answers_401_is_no_load_on_the_token_endpoint() {
    for (odd_takes, every) in [(0, 10), (50, 1000), (50, 10)] {
        let (server, tokens) = server();
        let service = server.service();
        let inner = service_fn(move |request: Request<Body>| {
            let mut service = service.clone();
            async move {
                let odd = request.uri().path() == "/odd";
                sleep(millis(if odd { odd_takes } else { 1 })).await;
                let response = service.call(request).await?;
                let refused = rejecting_if(odd, response.status());
                Ok::<_, std::io::Error>(refused)
            }
        });
        let api = layer(&server, &tokens).layer(inner);
        let (ok, failed) = (Count::default(), Count::default());
        let usual = tokio::spawn({
            let (api, ok, failed) = (api.clone(), ok.clone(), failed.clone());
            async move {
                loop {
                    let request = get("http://localhost/usual");
                    let answer = api.clone().oneshot(request).await.expect("an answer");
                    match answer.status().as_u16() {
                        200 => ok.up(),
                        _ => failed.up(),
                    };
                    sleep(millis(50)).await;
                }
            }
        });
        let start = Instant::now();
        while start.elapsed() < secs(600) {
            let request = get("http://localhost/odd");
            let answer = api.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), 401);
            sleep(millis(every)).await;
        }
        usual.abort();
        assert!(ok.get() > 10_000 && failed.get() == 0, "{}", failed.get());
        // 1, 2, 4 ... 60 seconds and then one a minute.
        let requests = server.token_requests();
        assert!(
            requests <= 20,
            "{requests} for {odd_takes} ms, each {every} ms"
        );
    }
}

fn rejecting_if(odd: bool, status: StatusCode) -> http::Response<String> {
    let mut response = http::Response::new(String::new());
    *response.status_mut() = if odd {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    response
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_renew_after_a_401_is_told_beside_the_answer_of_the_api() {
    let (server, tokens) = server();
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await.0, 200);
    server.end_sessions();
    server.set_password("me", "changed");
    let response = send(&api).await.expect("the API's answer");
    assert_eq!(read(&response), (401, Some(Outcome::RenewalFailed)));
    let error = response.extensions().get::<TokenError>();
    let error = error.expect("the token's error");
    assert_eq!(error.kind(), TokenErrorKind::Refused);
    assert_eq!(error.oauth_error(), Some("invalid_grant"));
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the API's body");
    assert!(!body.to_bytes().is_empty());
}
