//! Ways an account ends: capacity, idle timeout, removal, shutdown.

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{Accounts, BoxError, Outcome, TokenError, TokenErrorKind};

use crate::common::{at_once, millis, parked, secs};
use crate::tenants::{Tenant, accounts, builder, call, client, of, served, tenant};

fn live(accounts: &Accounts<Tenant>) -> Vec<usize> {
    let there = |n: &usize| accounts.get(&tenant(*n)).is_some();
    (0..10).filter(there).collect()
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_account_is_evicted() {
    let server = served(5, TokenServer::builder());
    let accounts = builder(&server).capacity(3).build().expect("settings");
    let mut client = client(&server, &accounts);
    for n in [0, 1, 2, 0] {
        call(&client, &tenant(n)).await.expect("an answer");
    }
    assert_eq!(live(&accounts), [0, 1, 2]);
    call(&client, &tenant(3)).await.expect("an answer");
    assert_eq!(live(&accounts), [0, 2, 3]);
    assert_eq!(accounts.len(), 3);
    call(&client, &tenant(1)).await.expect("an answer");
    assert_eq!(live(&accounts), [0, 1, 3]);
    // One that a service has cached is in use as well, to the second.
    for n in [4, 1, 2, 1] {
        for _ in 0..3 {
            let ready = client.ready().await.expect("ready");
            ready.call(of(&tenant(0))).await.expect("an answer");
            sleep(secs(2)).await;
        }
        call(&client, &tenant(n)).await.expect("an answer");
        assert!(live(&accounts).contains(&0), "the one in use was evicted");
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_without_requests_is_evicted_and_one_in_use_is_not() {
    let server = served(3, TokenServer::builder());
    let accounts = builder(&server)
        .idle_timeout(secs(60))
        .build()
        .expect("settings");
    let mut client = client(&server, &accounts);
    for n in 0..3 {
        call(&client, &tenant(n)).await.expect("an answer");
    }
    for second in 0..120 {
        if second < 50 {
            call(&client, &tenant(1)).await.expect("an answer");
        }
        let ready = client.ready().await.expect("ready");
        ready.call(of(&tenant(0))).await.expect("an answer");
        // `get` does not count as a use.
        assert!(second >= 59 || accounts.get(&tenant(2)).is_some());
        sleep(secs(1)).await;
        if second == 65 {
            assert_eq!(live(&accounts), [0, 1]);
        }
    }
    assert_eq!(live(&accounts), [0]);
    sleep(secs(70)).await;
    assert!(live(&accounts).is_empty());
    assert_eq!(server.token_requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_does_not_use_a_cached_account_that_was_removed() {
    let server = served(1, TokenServer::builder());
    let accounts = accounts(&server);
    let mut client = client(&server, &accounts);
    for _ in 0..3 {
        let ready = client.ready().await.expect("ready");
        ready.call(of(&tenant(0))).await.expect("an answer");
    }
    let removed = accounts.remove(&tenant(0)).expect("there");
    removed.revoke().await.expect("revoked");
    assert_eq!(server.counts().open_sessions, 0);
    assert!(accounts.remove(&tenant(0)).is_none());
    let ready = client.ready().await.expect("ready");
    let answer = ready.call(of(&tenant(0))).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.extensions().get::<Outcome>(), None);
    assert_eq!((server.token_requests(), accounts.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_account_with_a_request_in_progress_stays_and_one_that_is_removed_lets_it_finish() {
    let server = served(2, TokenServer::builder().delay(secs(1)));
    let accounts = builder(&server).capacity(1).build().expect("settings");
    let client = client(&server, &accounts);
    // The first waits for its token, the second is at the API and gets a 401.
    let first = parked(client.clone().oneshot(of(&tenant(0)))).await;
    call(&client, &tenant(1)).await.expect("an answer");
    assert!(accounts.get(&tenant(0)).is_some(), "it had a waiter");
    let answer = first.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    call(&client, &tenant(1)).await.expect("an answer");
    sleep(secs(2)).await;
    assert_eq!(live(&accounts), [1]);

    server
        .api()
        .enqueue([MockResponse::unauthorized(["Bearer"]).after(secs(5))]);
    let second = parked(client.clone().oneshot(of(&tenant(1)))).await;
    call(&client, &tenant(0)).await.expect("an answer");
    assert_eq!(live(&accounts), [0, 1], "it has a request to be sent again");
    drop(accounts.remove(&tenant(1)));
    assert_eq!(live(&accounts), [0]);
    let answer = second.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.extensions().get(), Some(&Outcome::Replayed));
}

#[tokio::test(start_paused = true)]
async fn the_session_of_an_evicted_account_is_ended_if_asked_for_and_not_before_its_time() {
    for asked in [true, false] {
        let server = served(20, TokenServer::builder());
        let mut builder = builder(&server).capacity(12).idle_timeout(secs(600));
        if asked {
            builder = builder.revoke_evicted(secs(30));
        }
        let accounts = builder.build().expect("settings");
        let client = client(&server, &accounts);
        for n in 0..20 {
            call(&client, &tenant(n)).await.expect("an answer");
        }
        sleep(secs(29)).await;
        assert_eq!(server.counts().open_sessions, 20);
        sleep(secs(3)).await;
        let left = if asked { 12 } else { 20 };
        assert_eq!(server.counts().open_sessions, left);
        // Idle accounts as well.
        sleep(secs(640)).await;
        assert_eq!(accounts.len(), 0);
        let left = if asked { 0 } else { 20 };
        assert_eq!(server.counts().open_sessions, left);
    }
}

#[test]
fn without_a_runtime_an_account_is_evicted_as_well() {
    let server = served(3, TokenServer::builder());
    let accounts = builder(&server).capacity(2).revoke_evicted(secs(0));
    let accounts = accounts.build().expect("settings");
    for n in 0..3 {
        let tokens = accounts.get_or_create(&tenant(n)).expect("an account");
        let error = at_once(tokens.token())
            .expect("no wait")
            .expect_err("no runtime");
        assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
    }
    assert_eq!(live(&accounts), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_all_sessions_and_hands_out_no_more_tokens() {
    let server = served(50, TokenServer::builder());
    let accounts = builder(&server).capacity(40).revoke_evicted(secs(3600));
    let accounts = accounts.build().expect("settings");
    let mut client = client(&server, &accounts);
    for n in 0..50 {
        let ready = client.ready().await.expect("ready");
        ready.call(of(&tenant(n))).await.expect("an answer");
    }
    assert_eq!(server.counts().open_sessions, 50);
    accounts.shutdown(secs(10)).await.expect("all ended");
    // Those of evicted accounts as well, before their time.
    assert_eq!(server.counts().open_sessions, 0);
    for n in [49, 0] {
        let ready = client.ready().await.expect("ready");
        let error = ready.call(of(&tenant(n))).await.expect_err("closed");
        let error = TokenError::find(&error).expect("a token error").kind();
        assert_eq!(error, TokenErrorKind::ShutDown);
    }
    assert_eq!(accounts.len(), 0);
    accounts.shutdown(secs(10)).await.expect("nothing to do");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_takes_no_longer_than_its_limit() {
    let accounts = Accounts::builder(|_: usize| async { Ok::<_, BoxError>(Stuck) });
    let accounts = accounts.settings(|cache| cache.revoke_timeout(secs(100)));
    let accounts = accounts.build().expect("settings");
    for key in 0..10 {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokens.token().await.expect("a token");
    }
    let start = Instant::now();
    let error = accounts.shutdown(millis(1500)).await.expect_err("stuck");
    assert_eq!(error.kind(), TokenErrorKind::Timeout);
    assert_eq!(start.elapsed(), millis(1500));
}

/// Returns a token, and never finishes to revoke it.
struct Stuck;

impl tower_bearer::TokenSource for Stuck {
    async fn fetch(&self) -> Result<tower_bearer::TokenResponse, tower_bearer::TokenError> {
        Ok(crate::common::token("t", 3000)?.into())
    }

    async fn revoke(
        &self,
        _: Option<&tower_bearer::AccessToken>,
        _: Option<&tower_bearer::RefreshToken>,
    ) -> Result<(), tower_bearer::TokenError> {
        std::future::pending().await
    }
}
