//! Keeping warm, and a cache's methods that a user calls directly.

#![cfg(feature = "testing")]

mod common;

use std::sync::{Arc, Weak};

use http::StatusCode;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{sleep, timeout};

use common::{Count, api, at_once, call, millis, secs, served, slow, token};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{TokenCache, TokenErrorKind};

fn server() -> (TokenServer, TokenCache) {
    served(TokenServer::builder())
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build();
    runtime.expect("a runtime")
}

#[tokio::test(start_paused = true)]
async fn a_warm_token_is_renewed_while_nobody_asks() {
    let (server, tokens) = server();
    tokens.keep_warm();
    for _ in 0..100 {
        sleep(secs(1000)).await;
        assert_eq!(at_once(call(&api(&server, &tokens))), Some((200, None)));
    }
    let requests = server.token_requests();
    assert!((36..=39).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn without_it_nothing_happens_while_nobody_asks() {
    let (server, tokens) = server();
    tokens.token().await.expect("a token");
    sleep(secs(24 * 3600)).await;
    assert_eq!((server.token_requests(), tasks()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn keeping_warm_keeps_no_cache_alive_and_ends_with_its_last_handle() {
    let alive = Arc::new(());
    let held: Weak<()> = Arc::downgrade(&alive);
    let tokens = TokenCache::new(move || {
        let _ = &alive;
        std::future::ready(token("t", 3000))
    });
    tokens.keep_warm();
    tokens.keep_warm();
    let other = tokens.clone();
    sleep(secs(10_000)).await;
    assert_eq!(tasks(), 1, "one task, however often it was asked for");
    drop(tokens);
    sleep(secs(10_000)).await;
    assert_eq!((tasks(), held.strong_count()), (1, 1));
    drop(other);
    assert_eq!(held.strong_count(), 0);
    sleep(millis(1)).await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_dropped_during_a_fetch_is_gone_after_it() {
    let alive = Arc::new(());
    let held: Weak<()> = Arc::downgrade(&alive);
    let tokens = TokenCache::new(move || {
        let _ = &alive;
        async {
            sleep(secs(5)).await;
            token("t", 3000)
        }
    });
    tokens.keep_warm();
    assert!(timeout(secs(1), tokens.token()).await.is_err());
    drop(tokens);
    assert_eq!(held.strong_count(), 1);
    sleep(secs(5)).await;
    assert_eq!((tasks(), held.strong_count()), (0, 0));
}

#[test]
fn its_runtime_may_end_and_the_next_fetch_starts_it_again() {
    let (server, tokens) = server();
    tokens.keep_warm();
    let first = paused();
    first.block_on(async {
        tokens.token().await.expect("a token");
        sleep(secs(6000)).await;
    });
    let so_far = server.token_requests();
    assert!(so_far > 2, "{so_far}");
    drop(first);
    paused().block_on(async {
        tokens.invalidate();
        tokens.token().await.expect("a token");
        sleep(secs(6000)).await;
        assert_eq!(tasks(), 1);
    });
    let requests = server.token_requests();
    assert!(requests > so_far + 2, "{requests}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_again_after_a_refusal_until_somebody_asks_or_resets() {
    let (server, tokens) = server();
    server.set_password("me", "changed");
    tokens.keep_warm();
    sleep(secs(24 * 3600)).await;
    assert_eq!(server.token_requests(), 1);
    // Both attempts of the fetch.
    let away = || MockResponse::status(StatusCode::BAD_GATEWAY);
    server.token_endpoint().enqueue([away(), away()]);
    let error = tokens.token().await.expect_err("away");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    sleep(secs(24 * 3600)).await;
    assert_eq!(server.token_requests(), 3, "a refusal stays one");
    server.set_password("me", "pw");
    tokens.reset();
    sleep(secs(3600)).await;
    assert_eq!(tokens.status().generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_warm_cache_comes_back_by_itself_after_a_failure_that_passes() {
    let (server, tokens) = server();
    server
        .token_endpoint()
        .set_default(MockResponse::status(StatusCode::BAD_GATEWAY));
    tokens.keep_warm();
    sleep(secs(3600)).await;
    // The password was sent each time: 5 s doubling to 5 min, or a quarter more.
    let requests = server.token_requests();
    assert!((14..=18).contains(&requests), "{requests}");
    server.clear_responses();
    sleep(secs(376)).await;
    assert_eq!(tokens.status().generation, Some(1));
    // An invalidated token is replaced too, without a caller.
    tokens.invalidate();
    sleep(millis(10)).await;
    assert_eq!(tokens.status().generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn short_lives_are_no_busy_loop_while_nobody_asks() {
    for lifetime in [0, 1, 2] {
        let count = Count::default();
        let fetches = count.clone();
        let tokens = TokenCache::new(move || {
            fetches.up();
            std::future::ready(token("t", lifetime))
        });
        tokens.keep_warm();
        sleep(secs(3600)).await;
        assert!((100..=3601).contains(&count.get()), "{}", count.get());
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_call_gets_a_token_that_outlives_it() {
    let (server, tokens) = server();
    let first = tokens.token_valid_for(secs(2000)).await.expect("a token");
    sleep(secs(900)).await;
    let same = tokens.token_valid_for(secs(2000)).await.expect("a token");
    assert_eq!((first.generation(), same.generation()), (1, 1));
    sleep(secs(200)).await;
    let newer = tokens.token_valid_for(secs(2000)).await.expect("a token");
    assert_eq!((newer.generation(), server.token_requests()), (2, 2));
    let error = tokens
        .token_valid_for(secs(2995))
        .await
        .expect_err("too long");
    assert_eq!(error.kind(), TokenErrorKind::Config);
    assert_eq!(server.token_requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_token_is_not_handed_out_again() {
    let (tokens, fetches) = slow(3000);
    tokens.token().await.expect("a token");
    tokens.invalidate();
    assert_eq!(tokens.status().generation, None);
    assert_eq!(fetches.get(), 1, "nobody asked yet");
    assert_eq!(tokens.token().await.expect("a token").secret(), "t2");
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_how_things_stand() {
    let (server, tokens) = served(TokenServer::builder().delay(secs(1)));
    let start = tokens.status();
    assert_eq!((start.generation, start.valid_for), (None, None));
    assert!(!start.is_due && !start.is_fetching && start.last_error.is_none());
    assert_eq!((start.fetch_backoff, start.rejection_backoff), (None, None));

    assert!(timeout(millis(500), tokens.token()).await.is_err());
    assert!(tokens.status().is_fetching);
    sleep(secs(1)).await;
    let fresh = tokens.status();
    assert_eq!((fresh.generation, fresh.is_fetching), (Some(1), false));
    let left = fresh.valid_for.expect("an end");
    assert!(left <= millis(2_988_500) && left > secs(2988), "{left:?}");

    server
        .token_endpoint()
        .set_default(MockResponse::status(StatusCode::BAD_GATEWAY).retry_after("100"));
    sleep(secs(2800)).await;
    assert!(tokens.status().is_due);
    tokens.token().await.expect("a token");
    sleep(secs(10)).await;
    let troubled = tokens.status();
    assert_eq!(troubled.fetch_backoff, Some(secs(91)));
    let error = troubled.last_error.expect("the failure");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    assert!(troubled.is_due && troubled.generation == Some(1));

    tokens.reset();
    let forgotten = tokens.status();
    assert!(forgotten.last_error.is_none() && forgotten.fetch_backoff.is_none());
    server.clear_responses();
    tokens.invalidate();
    server
        .api()
        .set_default(MockResponse::unauthorized(["Bearer"]));
    let api = api(&server, &tokens);
    assert_eq!(call(&api).await.0, 401);
    assert_eq!(tokens.status().rejection_backoff, Some(secs(1)));
    tokens.reset();
    assert_eq!(tokens.status().rejection_backoff, None);
}
