//! Callers who wait, in whatever runtime: none hangs, none is blamed for
//! another's end.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, TokenCache, TokenError, TokenErrorKind};

use crate::common::{Count, millis, parked, secs, served, slow};

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Time goes on between two calls, and nobody drives the runtime then.
#[test]
fn a_program_that_drives_its_runtime_for_each_call_only_fetches_once_and_keeps_rotated_tokens() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (server, tokens) = served(
        TokenServer::builder()
            .access_token_lifetime(secs(300))
            .refresh_token_lifetime(Duration::ZERO)
            .rotate_refresh_tokens(true)
            .delay(millis(200)),
    );
    for call in 0..200 {
        let token = runtime.block_on(tokens.token());
        assert!(token.is_ok(), "call {call}: {token:?}");
        // Time passes, and no task but this one is polled meanwhile.
        runtime.block_on(async {
            if call % 3 == 0 {
                tokio::time::advance(secs(283)).await;
            } else {
                tokio::time::advance(secs(20)).await;
            }
        });
    }
    let counts = server.counts();
    println!("{counts:?}");
    assert_eq!(counts.max_concurrent_token_requests, 1);
    assert_eq!(counts.refresh_token_reuses, 0);
    assert_eq!(counts.password_grants, 1, "no rotated token was lost");
}

/// The same on the real clock, with a source that needs several polls.
#[test]
fn a_fetch_that_was_left_in_an_undriven_runtime_is_gone_on_with_and_not_doubled() {
    let runtime = runtime();
    let (fetches, at_once) = (Count::default(), Count::default());
    let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tokens = {
        let (fetches, running, most) = (fetches.clone(), at_once.clone(), most.clone());
        let running = Arc::new((running, std::sync::atomic::AtomicUsize::new(0)));
        let source = move || {
            let (number, running, most) = (fetches.up(), running.clone(), most.clone());
            async move {
                most.fetch_max(
                    running.1.fetch_add(1, Ordering::SeqCst) + 1,
                    Ordering::SeqCst,
                );
                sleep(millis(30)).await;
                running.1.fetch_sub(1, Ordering::SeqCst);
                AccessToken::new(format!("t{number}")).map(|it| it.with_lifetime(millis(900)))
            }
        };
        let builder = TokenCache::builder(source).source_timeout(millis(200));
        builder.build().expect("valid")
    };
    for _ in 0..12 {
        runtime.block_on(tokens.token()).expect("a token");
        std::thread::sleep(millis(730));
        // Due by now: this call sets off a renewal, and ends before it does.
        runtime.block_on(tokens.token()).expect("a token");
        // Longer than a fetch may take without being heard of.
        std::thread::sleep(millis(1300));
    }
    println!("{} fetches, {:?} at once", fetches.get(), most);
    assert_eq!(most.load(Ordering::SeqCst), 1);
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
    // The cache goes on.
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
