//! Refresh tokens: used while alive, rotated and kept, with a fallback to a login
//! within the same fetch.

#![cfg(feature = "testing")]

mod common;

use std::sync::{Arc, Mutex};

use http::{Request, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};

use common::{Body, Count, api, at_once, call, millis, secs, served, token};
use tower_bearer::testing::{Counts, MockResponse, TokenServer, TokenServerBuilder};
use tower_bearer::{PasswordGrant, RefreshToken, TokenCache, TokenErrorKind, TokenResponse};

fn server() -> TokenServerBuilder {
    TokenServer::builder()
}

/// Password grants, refreshes, token requests.
fn grants(counts: &Counts) -> (u64, u64, u64) {
    let logins = counts.password_grants;
    (logins, counts.refresh_grants, counts.token_requests)
}

/// Has the token in use replaced.
async fn renew(tokens: &TokenCache) {
    tokens.invalidate();
    tokens.token().await.expect("a token");
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_for_days_on_one_login() {
    for rotate in [false, true] {
        let (server, tokens) = served(server().rotate_refresh_tokens(rotate));
        tokens.keep_warm();
        tokens.token().await.expect("a token");
        sleep(secs(3 * 24 * 3600)).await;
        assert_eq!(call(&api(&server, &tokens)).await, (200, None));
        let counts = server.counts();
        assert_eq!(counts.password_grants, 1, "{counts:?}");
        // Three days in steps of 2700 to 2730 s.
        assert!((94..=96).contains(&counts.refresh_grants), "{counts:?}");
        assert_eq!((counts.refused, counts.refresh_token_reuses), (0, 0));
        assert_eq!(counts.open_sessions, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_refresh_token_keeps_the_old_one() {
    let (server, tokens) = served(server());
    tokens.token().await.expect("a token");
    let without = MockResponse::default()
        .without("refresh_token")
        .without("refresh_expires_in");
    server.token_endpoint().enqueue([without.clone(), without]);
    for _ in 0..3 {
        renew(&tokens).await;
    }
    assert_eq!(grants(&server.counts()), (1, 3, 4));
}

#[tokio::test(start_paused = true)]
async fn the_kept_one_still_ends_when_it_was_to_end() {
    let (server, tokens) = served(server().refresh_token_lifetime(secs(100)));
    tokens.token().await.expect("a token");
    sleep(secs(60)).await;
    let without = MockResponse::default()
        .without("refresh_token")
        .without("refresh_expires_in");
    server.token_endpoint().enqueue([without]);
    renew(&tokens).await;
    sleep(secs(60)).await;
    renew(&tokens).await;
    let counts = server.counts();
    assert_eq!((grants(&counts), counts.refused), ((2, 1, 3), 0));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_brings_no_refresh_token_leaves_none() {
    let (server, tokens) = served(server());
    tokens.token().await.expect("a token");
    server.end_sessions();
    let without = MockResponse::default().without("refresh_token");
    server
        .token_endpoint()
        .enqueue([MockResponse::default(), without]);
    renew(&tokens).await;
    renew(&tokens).await;
    assert_eq!(grants(&server.counts()), (3, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_refused_refresh_token_is_followed_by_a_login_in_the_same_fetch() {
    let (server, tokens) = served(server().delay(secs(1)));
    tokens.token().await.expect("a token");
    server.end_sessions();
    tokens.invalidate();
    let start = Instant::now();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for caller in callers {
        let token = caller.await.expect("no panic").expect("a token");
        assert_eq!(token.generation(), 2);
    }
    assert_eq!(start.elapsed(), secs(2));
    let counts = server.counts();
    assert_eq!((grants(&counts), counts.refused), ((2, 0, 3), 1));
    assert_eq!(counts.max_concurrent_token_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_too_sticks_after_one_attempt_of_each() {
    let (server, tokens) = served(server());
    tokens.token().await.expect("a token");
    server.end_sessions();
    server.set_password("me", "changed");
    tokens.invalidate();
    for _ in 0..100 {
        let error = tokens.token().await.expect_err("no token");
        assert_eq!(error.kind(), TokenErrorKind::Refused);
        let pause = error.retry_after().expect("a pause");
        assert!((secs(60)..=secs(75)).contains(&pause), "{pause:?}");
    }
    assert_eq!(server.token_requests(), 3);
    // The dead refresh token does not come again.
    sleep(secs(75)).await;
    assert!(tokens.token().await.is_err());
    assert_eq!(server.token_requests(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_is_never_sent() {
    // Shorter than the access token: dead whenever that one is due.
    let (server, tokens) = served(server().refresh_token_lifetime(secs(60)));
    tokens.keep_warm();
    tokens.token().await.expect("a token");
    sleep(secs(24 * 3600)).await;
    let counts = server.counts();
    assert_eq!((counts.refresh_grants, counts.refused), (0, 0));
    assert!((32..=33).contains(&counts.password_grants), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_end_of_zero_or_none_is_no_fixed_end() {
    let zero = |answer: MockResponse| answer.param("refresh_expires_in", "0");
    let missing = |answer: MockResponse| answer.without("refresh_expires_in");
    for edit in [zero as fn(MockResponse) -> MockResponse, missing] {
        let (server, tokens) = served(server().refresh_token_lifetime(secs(0)));
        server
            .token_endpoint()
            .set_default(edit(MockResponse::default()));
        tokens.token().await.expect("a token");
        for _ in 0..3 {
            sleep(secs(30 * 24 * 3600)).await;
            tokens.token().await.expect("a token");
        }
        assert_eq!(grants(&server.counts()), (1, 3, 4));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_no_reason_for_another_login() {
    let (server, tokens) = served(server().rotate_refresh_tokens(true));
    tokens.token().await.expect("a token");
    for _ in 0..5 {
        server
            .token_endpoint()
            .enqueue([MockResponse::status(StatusCode::INTERNAL_SERVER_ERROR)]);
        tokens.invalidate();
        assert!(tokens.token().await.is_err());
        sleep(millis(250)).await;
        tokens.token().await.expect("a token");
        // One that is tried again in the same fetch.
        server
            .token_endpoint()
            .enqueue([MockResponse::status(StatusCode::BAD_GATEWAY)]);
        renew(&tokens).await;
    }
    let counts = server.counts();
    assert_eq!(grants(&counts), (1, 10, 21));
    assert_eq!(counts.refresh_token_reuses, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_lost_after_rotation_costs_a_login_and_no_error() {
    let (server, tokens) = served(server().rotate_refresh_tokens(true));
    tokens.token().await.expect("a token");
    server
        .token_endpoint()
        .enqueue([MockResponse::default().close_at(100)]);
    tokens.invalidate();
    assert_eq!(call(&api(&server, &tokens)).await, (200, None));
    assert_eq!(server.token_requests(), 4);
    let counts = server.counts();
    assert_eq!(counts.refresh_token_reuses, 1);
    // The first session stays until its time is over, unused.
    assert_eq!((counts.password_grants, counts.open_sessions), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_background_is_felt_by_nobody() {
    let (server, tokens) = served(server());
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await, (200, None));
    sleep(secs(2800)).await;
    // Stale, though the session and the access token are still valid.
    server.token_endpoint().enqueue([MockResponse::error(
        StatusCode::BAD_REQUEST,
        "invalid_grant",
    )]);
    assert_eq!(at_once(call(&api)), Some((200, None)));
    sleep(secs(1)).await;
    assert_eq!(at_once(call(&api)), Some((200, None)));
    assert_eq!(tokens.status().generation, Some(2));
    assert_eq!(grants(&server.counts()), (2, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_goes_to_its_own_endpoint_and_carries_no_password() {
    let server = server().user("me", "hunter2").in_process();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, service) = (seen.clone(), server.service());
    let transport = service_fn(move |request: Request<Body>| {
        let (log, mut service) = (log.clone(), service.clone());
        async move {
            use http_body_util::BodyExt;
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("no error").to_bytes();
            let text = String::from_utf8(body.to_vec()).expect("a form");
            let sent = (head.uri.to_string(), text);
            log.lock().expect("no panic").push(sent);
            service
                .call(Request::from_parts(head, Body::new(body)))
                .await
        }
    });
    let (url, name) = (server.token_url(), server.username());
    let grant = PasswordGrant::new(url, "api", name, "hunter2").expect("an endpoint");
    let tokens = TokenCache::new(grant.transport(transport));
    tokens.token().await.expect("a token");
    renew(&tokens).await;
    let seen = seen.lock().expect("no panic");
    let [login, refresh] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((login.0.as_str(), refresh.0.as_str()), (url, url));
    assert!(login.1.contains("hunter2") && login.1.contains("grant_type=password"));
    assert!(refresh.1.contains("grant_type=refresh_token"));
    assert!(!refresh.1.contains("hunter2") && !refresh.1.contains("username"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_knows_no_refresh_is_asked_as_ever() {
    let count = Count::default();
    let fetches = count.clone();
    let tokens = TokenCache::new(move || {
        let n = fetches.up();
        async move {
            let refresh = RefreshToken::new(format!("r{n}"))?;
            let response = TokenResponse::new(token(&format!("t{n}"), 3000)?);
            Ok::<_, tower_bearer::TokenError>(response.with_refresh_token(refresh))
        }
    });
    tokens.token().await.expect("a token");
    renew(&tokens).await;
    assert_eq!(tokens.token().await.expect("a token").secret(), "t2");
    assert_eq!(count.get(), 2);
}
