//! Shutdown: no request is sent after it, and no session is left that could be
//! ended.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use tower_bearer::testing::TokenServer;
use tower_bearer::{AccessToken, Accounts, BoxError, RefreshToken, TokenCache, TokenResponse};
use tower_bearer::{TokenError, TokenErrorKind, TokenSource};

use crate::common::{Count, at_once, millis, parked, secs, token};
use crate::tenants::{accounts, builder, call, client, served, tenant};

#[test]
fn a_time_that_no_clock_reaches_is_refused_where_it_is_set() {
    let server = served(1, TokenServer::builder());
    let error = builder(&server)
        .revoke_evicted(Duration::MAX)
        .build()
        .expect_err("too long");
    assert_eq!(error.field(), "revoke_evicted");
}

#[test]
fn outside_a_runtime_a_shutdown_is_an_error_and_leaves_the_rest_to_another_one() {
    let server = served(3, TokenServer::builder());
    let accounts = accounts(&server);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = client(&server, &accounts);
    runtime.block_on(async {
        for n in 0..3 {
            call(&client, &tenant(n)).await.expect("an answer");
        }
    });
    let error = at_once(accounts.shutdown(secs(5)))
        .expect("at once")
        .expect_err("no runtime");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
    let error = accounts.get_or_create(&tenant(0)).expect_err("closed");
    assert_eq!(error.kind(), TokenErrorKind::ShutDown);
    assert_eq!(server.counts().open_sessions, 3);
    runtime
        .block_on(accounts.shutdown(secs(5)))
        .expect("the rest");
    assert_eq!(server.counts().open_sessions, 0);
}

#[tokio::test(start_paused = true)]
async fn fetches_that_wait_for_a_permit_send_nothing_after_a_shutdown() {
    let server = served(11, TokenServer::builder().delay(secs(2)));
    let accounts = builder(&server).max_concurrent_fetches(1);
    let accounts = accounts.build().expect("settings");
    let mut callers = Vec::new();
    for n in 0..11 {
        let tokens = accounts.get_or_create(&tenant(n)).expect("an account");
        callers.push(parked(async move { tokens.token().await }).await);
    }
    sleep(millis(500)).await;
    assert_eq!(server.token_requests(), 1, "the others are queued");
    let start = Instant::now();
    accounts.shutdown(secs(10)).await.expect("all ended");
    // The one on its way is waited for, and its session ended.
    assert_eq!(start.elapsed(), millis(1500));
    for caller in callers {
        let error = caller.await.expect_err("shut down");
        assert_eq!(error.kind(), TokenErrorKind::ShutDown);
    }
    sleep(secs(3600)).await;
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.open_sessions), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_goes_on_when_its_caller_leaves() {
    let server = served(100, TokenServer::builder());
    let accounts = builder(&server).max_concurrent_fetches(3);
    let accounts = accounts.build().expect("settings");
    let client = client(&server, &accounts);
    for n in 0..100 {
        call(&client, &tenant(n)).await.expect("an answer");
    }
    server.set_delay(millis(100));
    let shutdown = {
        let accounts = accounts.clone();
        parked(async move { accounts.shutdown(secs(60)).await }).await
    };
    drop(shutdown);
    sleep(secs(10)).await;
    assert_eq!(server.counts().open_sessions, 0);
    // A later shutdown learns of it.
    accounts.shutdown(secs(1)).await.expect("all ended");
}

/// A session whose end fails as long as the server is away.
#[derive(Clone, Default)]
struct Away {
    is_away: Arc<AtomicBool>,
    fetches: Count,
    ended: Count,
    takes: Duration,
}

impl TokenSource for Away {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.fetches.up();
        sleep(self.takes).await;
        let refresh = RefreshToken::new("r")?;
        Ok(TokenResponse::new(token("t", 3000)?).with_refresh_token(refresh))
    }

    async fn revoke(
        &self,
        _: Option<&AccessToken>,
        refresh: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        assert_eq!(refresh.expect("a refresh token").secret(), "r");
        if self.is_away.load(Ordering::SeqCst) {
            return Err(TokenError::new(TokenErrorKind::Unavailable, "away"));
        }
        self.ended.up();
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_takes_up_what_is_left() {
    let source = Away::default();
    let made = source.clone();
    let accounts = Accounts::new(move |_: usize| {
        let source = made.clone();
        async { Ok::<_, BoxError>(source) }
    });
    for key in 0..10 {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokens.token().await.expect("a token");
    }
    source.is_away.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = accounts.shutdown(secs(5)).await.expect_err("away");
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        assert_eq!(source.ended.get(), 0);
    }
    source.is_away.store(false, Ordering::SeqCst);
    accounts.shutdown(secs(5)).await.expect("all ended");
    assert_eq!(source.ended.get(), 10);
    accounts.shutdown(secs(5)).await.expect("nothing to do");
    assert_eq!(source.ended.get(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_shut_down_twice_ends_its_session_once() {
    let source = Away::default();
    let tokens = TokenCache::new(source.clone());
    tokens.token().await.expect("a token");
    source.is_away.store(true, Ordering::SeqCst);
    let error = tokens.shutdown().await.expect_err("away");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    source.is_away.store(false, Ordering::SeqCst);
    let (one, other) = tokio::join!(tokens.shutdown(), tokens.shutdown());
    one.and(other).expect("ended");
    assert_eq!((source.fetches.get(), source.ended.get()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_session_of_a_fetch_that_takes_longer_than_the_shutdown_is_ended_when_it_lands() {
    let source = Away {
        takes: secs(20),
        ..Away::default()
    };
    let tokens = TokenCache::new(source.clone());
    let caller = parked({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    })
    .await;
    sleep(secs(1)).await;
    let error = tokens.shutdown().await.expect_err("it takes longer");
    assert_eq!(error.kind(), TokenErrorKind::Timeout);
    assert_eq!(source.ended.get(), 0);
    let error = caller.await.expect_err("shut down");
    assert_eq!(error.kind(), TokenErrorKind::ShutDown);
    sleep(secs(1)).await;
    assert_eq!((source.fetches.get(), source.ended.get()), (1, 1));
    tokens.shutdown().await.expect("nothing to do");
    assert_eq!(source.ended.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_about_to_try_again_sends_nothing_after_a_shutdown() {
    let tries = Count::default();
    let count = tries.clone();
    let tokens = TokenCache::new(move || {
        count.up();
        async { Err::<AccessToken, _>(TokenError::new(TokenErrorKind::Connect, "no way")) }
    });
    let caller = parked({
        let tokens = tokens.clone();
        async move { tokens.token().await }
    })
    .await;
    tokio::task::yield_now().await;
    assert_eq!(tries.get(), 1);
    tokens.shutdown().await.expect("no session");
    caller.await.expect_err("shut down");
    sleep(secs(60)).await;
    assert_eq!(tries.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_ends_during_a_shutdown_leaves_the_session_to_another_one() {
    struct Late(Arc<AtomicBool>, Count);
    impl TokenSource for Late {
        async fn fetch(&self) -> Result<TokenResponse, TokenError> {
            Ok(token("t", 3000)?.into())
        }
        async fn revoke(
            &self,
            _: Option<&AccessToken>,
            _: Option<&RefreshToken>,
        ) -> Result<(), TokenError> {
            if !self.0.swap(true, Ordering::SeqCst) {
                pending::<()>().await;
            }
            self.1.up();
            Ok(())
        }
    }
    let ended = Count::default();
    let tokens = TokenCache::new(Late(Arc::default(), ended.clone()));
    tokens.token().await.expect("a token");
    let other = tokens.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let shutdown = tokio::spawn(async move { other.shutdown().await });
            sleep(millis(50)).await;
            drop(shutdown);
        });
    })
    .join()
    .expect("no panic");
    tokens.shutdown().await.expect("ended");
    assert_eq!(ended.get(), 1);
}
