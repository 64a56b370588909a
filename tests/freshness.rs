//! Freshness: a token is renewed before it expires and never sent after that, and no
//! caller waits while there is a valid one.

#![cfg(feature = "testing")]

mod common;

use std::collections::BTreeSet;

use http::StatusCode;
use tokio::time::{Instant, advance, sleep};

use common::{Count, Wall, api, at_once, call, millis, secs, served, slow, token};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, TokenCache, TokenErrorKind};

/// A cache with its own wall clock, whose source yields at once.
fn quick(lifetime: u64, wall: &Wall) -> (TokenCache, Count) {
    let (count, wall) = (Count::default(), wall.clone());
    let fetches = count.clone();
    let tokens = TokenCache::builder(move || {
        let n = fetches.up();
        async move { token(&format!("t{n}"), lifetime) }
    });
    let tokens = tokens.wall_clock(move || wall.now()).build();
    (tokens.expect("settings"), count)
}

async fn generation(tokens: &TokenCache) -> u64 {
    tokens.token().await.expect("a token").generation()
}

#[tokio::test(start_paused = true)]
async fn a_life_counts_from_before_its_request() {
    let lifetime = secs(60);
    let (_server, tokens) = served(
        TokenServer::builder()
            .access_token_lifetime(lifetime)
            .delay(secs(8)),
    );
    tokens.token().await.expect("a token");
    // A tenth of a life is left unused.
    let left = tokens.status().valid_for.expect("an end");
    assert!(left <= secs(54 - 8) && left > millis(45_900), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_life_went_by_on_its_way_is_an_error_and_no_busy_loop() {
    let (server, tokens) = served(
        TokenServer::builder()
            .access_token_lifetime(secs(8))
            .delay(secs(9)),
    );
    let start = Instant::now();
    while start.elapsed() < secs(3600) {
        let error = tokens.token().await.expect_err("no life left");
        assert_eq!(error.kind(), TokenErrorKind::Expired);
        sleep(millis(100)).await;
    }
    // 9 s for each fetch and 15 s on average between two.
    assert!(server.token_requests() < 250, "{}", server.token_requests());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_due_five_minutes_before_its_end_less_up_to_a_tenth_at_random() {
    let mut moments = BTreeSet::new();
    let caches: Vec<_> = (0..200)
        .map(|_| TokenCache::new(|| async { token("t", 3000) }))
        .collect();
    for tokens in &caches {
        tokens.token().await.expect("a token");
    }
    advance(secs(2699)).await;
    assert!(caches.iter().all(|tokens| !tokens.status().is_due));
    for second in 2700..=2731 {
        advance(secs(1)).await;
        let due = caches.iter().filter(|tokens| tokens.status().is_due);
        moments.insert((second, due.count()));
    }
    let counts: BTreeSet<_> = moments.iter().map(|(_, due)| *due).collect();
    assert!(counts.len() > 10, "renewed together: {moments:?}");
    assert_eq!(counts.last(), Some(&200), "{moments:?}");
}

#[tokio::test(start_paused = true)]
async fn a_due_token_serves_at_once_while_one_renewal_runs_behind_it() {
    let (tokens, fetches) = slow(100);
    assert_eq!(generation(&tokens).await, 1);
    advance(secs(85)).await;
    assert!(tokens.status().is_due);
    for _ in 0..100 {
        let token = at_once(tokens.token()).expect("no wait").expect("a token");
        assert_eq!(token.generation(), 1);
    }
    sleep(millis(1500)).await;
    assert_eq!(fetches.get(), 2);
    assert_eq!(generation(&tokens).await, 2);
}

#[tokio::test(start_paused = true)]
async fn no_caller_waits_in_a_day_of_renewals_from_a_slow_endpoint() {
    let (server, tokens) = served(TokenServer::builder().delay(secs(9)));
    let api = api(&server, &tokens);
    tokens.token().await.expect("a token");
    let start = Instant::now();
    while start.elapsed() < secs(24 * 3600) {
        assert_eq!(at_once(call(&api)), Some((200, None)));
        sleep(secs(5)).await;
    }
    assert!((30..34).contains(&server.token_requests()));
    assert_eq!(server.counts().max_concurrent_token_requests, 1);
}

#[tokio::test(start_paused = true)]
async fn renewals_that_fail_never_displace_a_token_that_is_valid() {
    for failure in [
        MockResponse::status(StatusCode::SERVICE_UNAVAILABLE),
        MockResponse::error(StatusCode::BAD_REQUEST, "invalid_grant"),
        MockResponse::body(StatusCode::OK, "text/html", "<p>no"),
        MockResponse::close(),
        MockResponse::hang(),
        MockResponse::default().param("access_token", "\"a b\""),
    ] {
        let (server, tokens) = served(TokenServer::builder());
        let api = api(&server, &tokens);
        tokens.token().await.expect("a token");
        let case = format!("{failure:?}");
        server.token_endpoint().set_default(failure);
        advance(secs(2600)).await;
        for _ in 0..389 {
            assert_eq!(at_once(call(&api)), Some((200, None)), "{case}");
            sleep(secs(1)).await;
        }
        let status = tokens.status();
        assert_eq!(status.generation, Some(1), "{case}");
        assert!(status.last_error.is_some(), "{case}");
        assert!((2..80).contains(&server.token_requests()), "{case}");
        sleep(secs(1)).await;
        assert!(tokens.token().await.is_err(), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_not_sent_also_after_the_machine_was_suspended() {
    let wall = Wall::new();
    let (tokens, fetches) = quick(3000, &wall);
    assert_eq!(generation(&tokens).await, 1);
    wall.jump(2980);
    assert_eq!(generation(&tokens).await, 1, "still valid, renewed behind");
    sleep(millis(1)).await;
    assert_eq!((generation(&tokens).await, fetches.get()), (2, 2));
    wall.jump(2991);
    assert_eq!(tokens.status().generation, None);
    assert_eq!(generation(&tokens).await, 3);
    // Both clocks count together: half a life awake, then half asleep.
    sleep(secs(1500)).await;
    wall.jump(1495);
    assert_eq!(generation(&tokens).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_back_makes_no_token_live_longer() {
    let wall = Wall::new();
    let (tokens, _) = quick(3000, &wall);
    assert_eq!(generation(&tokens).await, 1);
    wall.jump(-24 * 3600);
    assert_eq!(generation(&tokens).await, 1);
    advance(secs(2650)).await;
    assert!(!tokens.status().is_due);
    advance(secs(341)).await;
    assert_eq!(tokens.status().generation, None);
    assert_eq!(generation(&tokens).await, 2);
    // And set right again.
    wall.jump(24 * 3600);
    assert_eq!(generation(&tokens).await, 3);
}

#[tokio::test(start_paused = true)]
async fn odd_lifetimes_make_no_busy_loop() {
    const HOUR: u64 = 3600;
    let zero = |token: AccessToken| token.with_lifetime(secs(0));
    let second = |token: AccessToken| token.with_lifetime(secs(1));
    let missing = |token: AccessToken| token;
    let huge = |token: AccessToken| token.with_lifetime(std::time::Duration::MAX);
    type Edit = fn(AccessToken) -> AccessToken;
    for (name, edit, least, most) in [
        // Full jitter up to half a minute.
        ("zero", zero as Edit, 180, 360),
        // Renewed at 0.8 of its life, when a caller needs it.
        ("a second", second, HOUR, 5 * HOUR / 4),
        // Each 270 to 300 s.
        ("missing", missing, 12, 14),
        ("huge", huge, 1, 1),
    ] {
        for warm in [false, true] {
            let count = Count::default();
            let fetches = count.clone();
            let tokens = TokenCache::new(move || {
                fetches.up();
                std::future::ready(AccessToken::new("t").map(edit))
            });
            if warm {
                tokens.keep_warm();
            }
            let start = Instant::now();
            while start.elapsed() < secs(HOUR) {
                let token = tokens.token().await;
                assert_eq!(token.is_err(), name == "zero");
                sleep(millis(100)).await;
            }
            let fetches = count.get() as u64;
            assert!((least..=most).contains(&fetches), "{name}: {fetches}");
        }
    }
}
