//! How long a token is handed out: minimum validity, changed clocks, fixed tokens.

use tokio::time::sleep;

use tower_bearer::store::MemoryStore;
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, TokenCache, TokenErrorKind};

use crate::common::{Wall, at_once, millis, secs, served};
use crate::endpoint::{Requests, answering, by_grant};

#[tokio::test(start_paused = true)]
async fn asking_for_more_life_than_tokens_have_costs_one_request_for_a_hundred_calls() {
    for (span, delay, pause) in [
        (secs(290), 100, 0),
        (secs(290), 100, 1000),
        (millis(289_950), 100, 0),
        (millis(289_950), 60, 1000),
        (secs(299), 0, 1000),
        (secs(3000), 0, 1000),
    ] {
        let builder = TokenServer::builder().access_token_lifetime(secs(300));
        let (server, tokens) = served(builder.delay(millis(delay)));
        let mut from_memory = 0;
        for call in 0..100 {
            let asked = tokens.token_valid_for(span);
            let answer = match call {
                0 => asked.await,
                _ => at_once(asked).expect("no wait: the answer is known"),
            };
            let error = answer.expect_err("too long");
            assert_eq!(error.kind(), TokenErrorKind::Config, "{span:?}");
            from_memory += usize::from(call > 0);
            sleep(millis(pause)).await;
        }
        let requests = server.token_requests();
        println!("{span:?}: {requests} request, {from_memory} answers from memory");
        assert_eq!((requests, from_memory), (1, 99), "{span:?} {pause}");
        assert!(tokens.token().await.is_ok(), "others are served");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_fleet_that_lives_too_short_is_replaced_by_a_new_one() {
    let builder = TokenServer::builder().access_token_lifetime(secs(300));
    let (server, _) = served(builder);
    let store = MemoryStore::new();
    let member = || {
        let builder = TokenCache::builder(server.grant());
        builder
            .store(store.clone(), "account")
            .build()
            .expect("valid")
    };
    let first = member();
    assert!(first.token().await.is_ok());
    sleep(secs(150)).await;
    let second = member();
    let adopted = second.token().await.expect("a token");
    assert_eq!(server.token_requests(), 1, "it was adopted");
    let longer = second.token_valid_for(secs(200)).await.expect("a new one");
    assert_ne!(longer.secret(), adopted.secret());
    assert_eq!(server.token_requests(), 2);
    // Of a third one that has no token yet.
    sleep(secs(150)).await;
    let third = member();
    let asked = third.token_valid_for(secs(200)).await.expect("a new one");
    assert_ne!(asked.secret(), longer.secret());
    assert_eq!(server.token_requests(), 3);
}

/// Near the end of a session a refresh yields tokens that live as short as it.
#[tokio::test(start_paused = true)]
async fn near_a_sessions_end_a_login_yields_the_token_that_lives_as_long_as_asked_for() {
    let server = TokenServer::builder()
        .access_token_lifetime(secs(300))
        .in_process();
    let requests = Requests::default();
    let refreshed = MockResponse::body(
        200,
        "application/json",
        r#"{"access_token":"short","expires_in":20,"token_type":"Bearer","refresh_token":"r2"}"#,
    );
    let transport = by_grant(&requests, server.service(), answering(refreshed));
    let tokens = TokenCache::new(server.grant().transport(transport));
    let first = tokens.token().await.expect("a token");
    sleep(secs(150)).await;
    let second = tokens.token_valid_for(secs(200)).await.expect("a login's");
    assert_ne!(first.secret(), second.secret());
    assert_ne!(second.secret(), "short");
    assert_eq!((requests.refreshes(), requests.logins()), (1, 2));
    // A caller that asks for less is served without a request.
    assert_eq!(
        tokens
            .token_valid_for(secs(100))
            .await
            .expect("it")
            .generation(),
        2
    );
    assert_eq!((requests.refreshes(), requests.logins()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_given_up_is_never_handed_out_however_short_the_life_asked_for() {
    let (server, tokens) = served(TokenServer::builder().access_token_lifetime(secs(300)));
    for span in [0, 1, 280] {
        let old = tokens.token_valid_for(secs(span)).await.expect("a token");
        tokens.invalidate();
        let new = tokens.token_valid_for(secs(span)).await.expect("a new one");
        assert_ne!(old.secret(), new.secret(), "invalidated, {span}");
        tokens.revoke().await.expect("a logout");
        let newer = tokens.token_valid_for(secs(span)).await.expect("a new one");
        assert_ne!(new.secret(), newer.secret(), "revoked, {span}");
    }
    // Also where the answer from memory has been learned.
    assert!(tokens.token_valid_for(secs(299)).await.is_err());
    tokens.invalidate();
    server
        .token_endpoint()
        .set_default(MockResponse::status(503));
    for span in [0, 1, 280, 299] {
        assert!(tokens.token_valid_for(secs(span)).await.is_err(), "{span}");
    }
    server.clear_responses();
    tokens.shutdown().await.expect("a logout");
    for span in [0, 1, 280, 299] {
        let error = tokens.token_valid_for(secs(span)).await.expect_err("none");
        assert_eq!(error.kind(), TokenErrorKind::ShutDown, "{span}");
    }
}

/// Under paused time each lookup is made on both clocks; the hot path's window
/// is tested where it is.
#[tokio::test(start_paused = true)]
async fn a_token_that_expired_is_not_sent_after_the_wall_clock_went_back_an_hour() {
    let wall = Wall::new();
    let (server, _) = served(TokenServer::builder().access_token_lifetime(secs(300)));
    let clock = wall.clone();
    let tokens = TokenCache::builder(server.grant()).wall_clock(move || clock.now());
    let tokens = tokens.build().expect("valid");
    let old = tokens.token().await.expect("a token");
    wall.jump(-3600);
    sleep(secs(300)).await;
    let new = tokens.token().await.expect("a new one");
    assert_ne!(old.secret(), new.secret());
    // Set right again: the new one looks an hour older than it is.
    wall.jump(3600);
    let newer = tokens.token().await.expect("a newer one");
    assert_ne!(new.secret(), newer.secret());
    assert_eq!(server.token_requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_token_with_a_lifetime_is_expired_an_hour_later() {
    let fixed = AccessToken::new("fixed")
        .expect("valid")
        .with_lifetime(secs(60));
    let tokens = TokenCache::new(fixed);
    assert_eq!(tokens.token().await.expect("valid").secret(), "fixed");
    sleep(secs(3600)).await;
    for _ in 0..100 {
        let error = tokens.token().await.expect_err("an hour old");
        assert_eq!(error.kind(), TokenErrorKind::Expired);
        assert!(error.is_transient());
        sleep(secs(1)).await;
    }
    assert!(tokens.ready().is_err());
    // Without a lifetime it is valid until it is rejected.
    let tokens = TokenCache::new(AccessToken::new("fixed").expect("valid"));
    assert!(tokens.token().await.is_ok());
    sleep(secs(3600)).await;
    assert!(tokens.token().await.is_ok());
}

/// It counts from when the cache was made, not from its first use.
#[tokio::test(start_paused = true)]
async fn a_fixed_token_that_nobody_used_expires_all_the_same() {
    let fixed = AccessToken::new("fixed")
        .expect("valid")
        .with_lifetime(secs(60));
    let tokens = TokenCache::new(fixed);
    sleep(secs(3600)).await;
    let error = tokens.token().await.expect_err("an hour old");
    assert_eq!(error.kind(), TokenErrorKind::Expired);
}

/// The refresh token still works, but its tokens live too short, and the password
/// was changed.
#[tokio::test(start_paused = true)]
async fn where_no_login_can_yield_more_life_a_hundred_calls_cost_no_request_each() {
    for (case, refusal) in [
        ("refused", MockResponse::error(401, "invalid_grant")),
        ("500", MockResponse::status(500)),
        ("hang", MockResponse::hang()),
    ] {
        let server = TokenServer::builder()
            .access_token_lifetime(secs(300))
            .in_process();
        let requests = Requests::default();
        let refreshed = MockResponse::body(
            200,
            "application/json",
            r#"{"access_token":"short","expires_in":120,"token_type":"Bearer"}"#,
        );
        let transport = by_grant(
            &requests,
            server.service(),
            answering(refreshed.after(millis(50))),
        );
        let tokens = TokenCache::new(server.grant().transport(transport));
        assert!(tokens.token().await.is_ok());
        server.token_endpoint().set_default(refusal);
        sleep(secs(150)).await;
        for _ in 0..100 {
            assert!(tokens.token_valid_for(secs(200)).await.is_err(), "{case}");
            assert!(tokens.token().await.is_ok(), "{case}: others are served");
            sleep(millis(100)).await;
        }
        println!("{case}: {} requests", requests.all());
        // Fetches that hang take a quarter of an hour, the others ten seconds.
        let allowed = if case == "hang" { 30 } else { 8 };
        assert!(requests.all() <= allowed, "{case}: {}", requests.all());
        // The session continues by refreshes.
        for _ in 0..600 {
            assert!(tokens.token().await.is_ok(), "{case}");
            sleep(secs(1)).await;
        }
    }
}
