//! Callers that wait, in any runtime: none hangs, and none fails because of
//! another's end.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::SystemTime;

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{
    AccessToken, RefreshToken, TokenCache, TokenError, TokenErrorKind, TokenResponse, TokenSource,
};

use crate::common::{Count, millis, parked, secs, served, slow};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A server that rotates refresh tokens when a request arrives, and takes a while
/// to answer.
#[derive(Default)]
struct Rotating {
    logins: Count,
    reuses: Count,
    issued: Count,
    running: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Rotating {
    async fn answer(&self) -> Result<TokenResponse, TokenError> {
        let number = self.issued.up();
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(running, Ordering::SeqCst);
        sleep(millis(30)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let token = AccessToken::new(format!("t{number}"))?.with_lifetime(millis(900));
        let refresh_token = RefreshToken::new(format!("{number}"))?;
        Ok(TokenResponse::new(token).with_refresh_token(refresh_token))
    }
}

impl TokenSource for Rotating {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.logins.up();
        self.answer().await
    }

    async fn refresh(&self, old: &RefreshToken) -> Result<TokenResponse, TokenError> {
        if old.secret() != self.issued.get().to_string() {
            self.reuses.up();
            return Err(TokenError::new(TokenErrorKind::Refused, "used before"));
        }
        self.answer().await
    }
}

/// In real time, because the point is that the runtime is not driven in between.
#[test]
fn a_program_that_drives_its_runtime_for_each_call_only_fetches_once_and_keeps_rotated_tokens() {
    let (runtime, source) = (runtime(), Arc::new(Rotating::default()));
    let builder = TokenCache::builder(source.clone()).source_timeout(millis(200));
    let tokens = builder.build().expect("valid");
    for _ in 0..4 {
        runtime.block_on(tokens.token()).expect("a token");
        std::thread::sleep(millis(730));
        // Due by now: this call sets off a renewal, and ends before it does.
        runtime.block_on(tokens.token()).expect("a token");
        // Longer than a fetch may take without being heard of.
        std::thread::sleep(millis(1300));
    }
    runtime.block_on(tokens.token()).expect("a token");
    let most = source.most_at_once.load(Ordering::SeqCst);
    let (logins, reuses) = (source.logins.get(), source.reuses.get());
    println!("{most} at once, {logins} login, {reuses} refresh tokens lost");
    assert_eq!((most, logins, reuses), (1, 1, 0));
    assert!(source.issued.get() >= 5, "{}", source.issued.get());
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_cold_callers_none_fails_for_one_failure_that_passes() {
    for answer in [
        MockResponse::status(502),
        MockResponse::status(503),
        MockResponse::status(504),
        MockResponse::close(),
        MockResponse::default().close_at(10),
    ] {
        let (server, tokens) = served(TokenServer::builder().delay(millis(100)));
        let case = format!("{answer:?}");
        server.token_endpoint().enqueue([answer]);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.token().await.map(drop) })
            })
            .collect();
        let mut failed = 0;
        for caller in callers {
            failed += usize::from(caller.await.expect("no panic").is_err());
        }
        let requests = server.token_requests();
        println!("{case}: {failed} of 1000 failed, {requests} token requests");
        assert_eq!((failed, requests), (0, 2), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_second_failure_in_a_row_the_callers_are_told() {
    let (server, tokens) = served(TokenServer::builder());
    server
        .token_endpoint()
        .set_default(MockResponse::status(502));
    let error = tokens.token().await.expect_err("none");
    assert_eq!(error.kind(), TokenErrorKind::Unavailable);
    assert_eq!(server.token_requests(), 2);
}

/// Four threads whose runtimes die while a fetch is in progress in them.
#[test]
fn a_healthy_runtimes_callers_are_not_blamed_for_those_that_die_beside_it() {
    let fetches = Count::default();
    let counted = fetches.clone();
    let tokens = TokenCache::new(move || {
        let number = counted.up();
        async move {
            sleep(millis(3)).await;
            AccessToken::new(format!("t{number}"))
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let dying: Vec<_> = (0..4)
        .map(|_| {
            let (tokens, done) = (tokens.clone(), done.clone());
            std::thread::spawn(move || {
                let mut died = 0;
                while !done.load(Ordering::SeqCst) {
                    let runtime = runtime();
                    let _ = runtime
                        .block_on(async { tokio::time::timeout(millis(1), tokens.token()).await });
                    drop(runtime);
                    died += 1;
                }
                died
            })
        })
        .collect();
    let healthy = runtime();
    let (mut failed, mut kinds) = (0, Vec::new());
    for _ in 0..500 {
        tokens.invalidate();
        if let Err(error) = healthy.block_on(tokens.token()) {
            failed += 1;
            kinds.push(error.kind());
        }
    }
    done.store(true, Ordering::SeqCst);
    let died: usize = dying
        .into_iter()
        .map(|it| it.join().expect("no panic"))
        .sum();
    println!("{failed} of 500 failed beside {died} runtimes that died");
    assert_eq!(failed, 0, "{kinds:?}");
    assert!(died > 100, "{died}");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_looks_at_the_cache_deadlocks_nothing() {
    let cell: Arc<OnceLock<TokenCache>> = Arc::default();
    let (server, looked) = (TokenServer::builder().in_process(), Count::default());
    let (inner, count) = (cell.clone(), looked.clone());
    let builder = TokenCache::builder(server.grant()).wall_clock(move || {
        if let Some(tokens) = inner.get() {
            count.up();
            let _ = (tokens.status(), tokens.ready());
            tokens.reset();
        }
        SystemTime::now()
    });
    let tokens = builder.build().expect("valid");
    cell.set(tokens.clone()).expect("once");
    let asked = tokio::spawn(async move {
        for _ in 0..10 {
            let _ = tokens.status();
            tokens.reset();
            let _ = tokio::time::timeout(secs(2), tokens.token()).await;
        }
    });
    tokio::time::timeout(secs(3600), asked)
        .await
        .expect("no deadlock")
        .expect("no panic");
    assert!(looked.get() > 10, "{}", looked.get());
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker of the caller's own");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_harms_no_other_waiter() {
    let (tokens, fetches) = slow(3000);
    let before = tokio::spawn(parked(waited(&tokens)).await);
    let waker = Waker::from(Arc::new(Panics));
    let mut harmful = Box::pin(waited(&tokens));
    let mut context = Context::from_waker(&waker);
    assert!(harmful.as_mut().poll(&mut context).is_pending());
    let after: Vec<_> = {
        let mut after = Vec::new();
        for _ in 0..100 {
            after.push(tokio::spawn(parked(waited(&tokens)).await));
        }
        after
    };
    let waiters = std::iter::once(before).chain(after);
    for waiter in waiters {
        let token = tokio::time::timeout(secs(5), waiter).await;
        let token = token.expect("no waiter starves").expect("no panic");
        assert_eq!(token.expect("a token").secret(), "t1");
    }
    assert_eq!(fetches.get(), 1);
    // The cache continues to work.
    tokens.invalidate();
    assert_eq!(tokens.token().await.expect("a token").secret(), "t2");
    let mut noop = Context::from_waker(Waker::noop());
    assert!(matches!(pin!(harmful).poll(&mut noop), Poll::Ready(Ok(_))));
}

/// One that follows the status harms no fetch.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_where_the_status_changes_harms_no_fetch() {
    let (tokens, fetches) = slow(3000);
    let mut status = tokens.watch();
    let waker = Waker::from(Arc::new(Panics));
    let mut changed = Box::pin(status.changed());
    let mut context = Context::from_waker(&waker);
    assert!(changed.as_mut().poll(&mut context).is_pending());
    let token = tokio::time::timeout(secs(5), tokens.token()).await;
    assert_eq!(token.expect("in time").expect("a token").secret(), "t1");
    assert_eq!(fetches.get(), 1);
}

fn waited(
    tokens: &TokenCache,
) -> impl Future<Output = Result<AccessToken, TokenError>> + Send + use<> {
    let tokens = tokens.clone();
    async move { tokens.token().await }
}
