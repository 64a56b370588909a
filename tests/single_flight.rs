//! Single flight: one fetch for all callers, independent of each of them.

#![cfg(feature = "testing")]

mod common;

use std::future::{Ready, pending};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, mpsc};

use http::StatusCode;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use common::{Count, api, at_once, call, millis, parked, secs, send, served, slow, token};
use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, TokenCache, TokenError, TokenErrorKind};

type Handed = tokio::task::JoinHandle<Result<AccessToken, TokenError>>;

fn callers(tokens: &TokenCache, number: usize) -> Vec<Handed> {
    let caller = |_| {
        let tokens = tokens.clone();
        tokio::spawn(async move { tokens.token().await })
    };
    (0..number).map(caller).collect()
}

#[tokio::test(start_paused = true)]
async fn callers_of_clones_and_layers_share_one_fetch() {
    let (server, tokens) = served(TokenServer::builder().delay(secs(1)));
    let direct = callers(&tokens, 500);
    let through = (0..500).map(|_| {
        let api = api(&server, &tokens.clone());
        tokio::spawn(async move { call(&api).await })
    });
    let through: Vec<_> = through.collect();
    for caller in direct {
        let token = caller.await.expect("no panic").expect("a token");
        assert_eq!(token.generation(), 1);
    }
    for caller in through {
        assert_eq!(caller.await.expect("no panic"), (200, None));
    }
    assert_eq!(server.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_ends_the_fetch_for_nobody() {
    let (tokens, fetches) = slow(3000);
    let first = {
        let tokens = tokens.clone();
        parked(async move { tokens.token().await }).await
    };
    let others = callers(&tokens, 10);
    sleep(millis(10)).await;
    drop(first);
    for caller in others {
        let token = caller.await.expect("no panic").expect("a token");
        assert_eq!(token.secret(), "t1");
    }
    assert_eq!(fetches.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_all_callers_left_goes_on_for_those_to_come() {
    let (tokens, fetches) = slow(3000);
    let impatient = timeout(millis(10), tokens.token());
    assert!(impatient.await.is_err());
    sleep(secs(2)).await;
    assert_eq!(tokens.status().generation, Some(1));
    let token = at_once(tokens.token()).expect("no wait").expect("a token");
    assert_eq!((token.secret(), fetches.get()), ("t1", 1));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_is_not_lost_when_the_caller_leaves() {
    let (server, tokens) = served(TokenServer::builder().rotate_refresh_tokens(true));
    tokens.token().await.expect("a token");
    server.set_delay(secs(5));
    for _ in 0..3 {
        tokens.invalidate();
        assert!(timeout(secs(1), tokens.token()).await.is_err());
        sleep(secs(10)).await;
    }
    let counts = server.counts();
    assert_eq!((counts.password_grants, counts.refresh_grants), (1, 3));
    assert_eq!(counts.refresh_token_reuses, 0);
    assert_eq!(call(&api(&server, &tokens)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_each_callers_own_and_the_fetch_has_none_of_them() {
    let (server, _) = served(TokenServer::builder().delay(secs(9)));
    let tokens = TokenCache::builder(server.grant()).wait_timeout(secs(5));
    let tokens = tokens.build().expect("settings");
    let start = Instant::now();
    let first = callers(&tokens, 1);
    sleep(secs(3)).await;
    let second = callers(&tokens, 1);
    sleep(secs(2)).await;
    // This one is there when the token comes.
    let third = callers(&tokens, 1);
    for (caller, ended) in first.into_iter().chain(second).zip([5, 8]) {
        let error = caller.await.expect("no panic").expect_err("too late");
        assert_eq!(error.kind(), TokenErrorKind::WaitTimeout);
        assert!(error.is_transient());
        assert_eq!(start.elapsed().as_secs(), ended);
    }
    for caller in third {
        let token = caller.await.expect("no panic").expect("a token");
        assert_eq!((token.generation(), start.elapsed().as_secs()), (1, 9));
    }
    assert_eq!(server.token_requests(), 1);
}

/// The fetch has one timer for its waiters, however many there are and whenever
/// they came.
#[tokio::test(start_paused = true)]
async fn waiters_that_come_in_turn_each_end_at_their_own_deadline() {
    let tokens = TokenCache::builder(pending::<Result<AccessToken, TokenError>>)
        .wait_timeout(secs(3))
        .build()
        .expect("settings");
    let mut callers = Vec::new();
    for number in 0..100 {
        // Every third one leaves before its time.
        let patience = if number % 3 == 0 { secs(2) } else { secs(60) };
        let tokens = tokens.clone();
        callers.push(tokio::spawn(async move {
            let start = Instant::now();
            (timeout(patience, tokens.token()).await, start.elapsed())
        }));
        sleep(millis(17)).await;
    }
    for (number, caller) in callers.into_iter().enumerate() {
        let (result, waited) = caller.await.expect("no panic");
        if number % 3 == 0 {
            assert!(result.is_err(), "it left");
            continue;
        }
        let error = result.expect("an answer").expect_err("no token");
        assert_eq!(error.kind(), TokenErrorKind::WaitTimeout);
        assert!(waited >= secs(3) && waited <= millis(3002), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_waiters_of_a_failed_fetch_get_the_same_error() {
    let (server, tokens) = served(TokenServer::builder().delay(secs(1)));
    let busy = MockResponse::error(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable");
    server
        .token_endpoint()
        .enqueue([busy.retry_after("7").after(secs(1))]);
    let mut shown = Vec::new();
    for caller in callers(&tokens, 100) {
        let error = caller.await.expect("no panic").expect_err("an error");
        assert_eq!(error.kind(), TokenErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(secs(7)));
        shown.push(format!("{error:?}"));
    }
    shown.dedup();
    assert_eq!((shown.len(), server.token_requests()), (1, 1));
}

/// Every waiter gets the panic as an error, and the cache works on after it.
async fn assert_panics_are_errors(tokens: TokenCache, panics: &AtomicBool) {
    for caller in callers(&tokens, 10) {
        let error = caller.await.expect("no panic").expect_err("an error");
        assert_eq!(error.kind(), TokenErrorKind::Panicked);
    }
    panics.store(false, Ordering::SeqCst);
    sleep(secs(1)).await;
    assert_eq!(tokens.token().await.expect("a token").generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_source_is_an_error_for_every_waiter() {
    static PANICS: AtomicBool = AtomicBool::new(true);
    let tokens = TokenCache::new(|| async {
        sleep(secs(1)).await;
        assert!(!PANICS.load(Ordering::SeqCst), "boom");
        token("late", 3000)
    });
    assert_panics_are_errors(tokens, &PANICS).await;
}

#[tokio::test(start_paused = true)]
async fn so_is_one_before_the_source_returns_its_future() {
    static PANICS: AtomicBool = AtomicBool::new(true);
    let tokens = TokenCache::new(|| -> Ready<_> {
        assert!(!PANICS.load(Ordering::SeqCst), "boom");
        std::future::ready(token("late", 3000))
    });
    assert_panics_are_errors(tokens, &PANICS).await;
}

#[test]
fn outside_a_runtime_a_fetch_is_an_error_and_a_token_at_hand_serves() {
    let (server, tokens) = served(TokenServer::builder());
    let api = api(&server, &tokens);
    let error = at_once(tokens.token()).expect("no wait").expect_err("none");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
    let error = at_once(send(&api)).expect("no wait").expect_err("none");
    let kind = TokenError::find(&error).map(TokenError::kind);
    assert_eq!(kind, Some(TokenErrorKind::NoRuntime));
    tokens.keep_warm();
    assert!(!tokens.status().is_fetching);

    runtime().block_on(tokens.token()).expect("a token");
    let again = at_once(tokens.token()).expect("no wait").expect("a token");
    assert_eq!((again.generation(), server.token_requests()), (1, 1));
    assert_eq!(at_once(call(&api)), Some((200, None)));
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(1).enable_all();
    builder.build().expect("a runtime")
}

/// A cache whose first fetch never ends, and word of when each one starts.
fn stuck_once() -> (TokenCache, mpsc::Receiver<usize>) {
    let (started, starts) = mpsc::channel();
    let count = Count::default();
    let tokens = TokenCache::new(move || {
        let n = count.up();
        started.send(n).expect("the test listens");
        async move {
            if n == 1 {
                pending::<()>().await;
            }
            token(&format!("t{n}"), 3000)
        }
    });
    (tokens, starts)
}

#[test]
fn when_the_runtime_of_a_fetch_ends_a_waiter_elsewhere_fetches_anew() {
    let (tokens, starts) = stuck_once();
    let (first, second) = (runtime(), runtime());
    let lost = tokens.clone();
    first.spawn(async move { lost.token().await });
    assert_eq!(starts.recv(), Ok(1));
    second.block_on(async {
        let others = (0..10).map(|_| {
            let tokens = tokens.clone();
            parked(async move { tokens.token().await })
        });
        let mut waiting = Vec::new();
        for other in others {
            waiting.push(other.await);
        }
        first.shutdown_background();
        for waiter in waiting {
            assert_eq!(waiter.await.expect("a token").secret(), "t2");
        }
    });
    assert_eq!(starts.try_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_runtime_that_was_shut_down_gives_an_error_and_no_hang() {
    let (tokens, starts) = stuck_once();
    let ended = {
        let runtime = runtime();
        runtime.handle().clone()
    };
    let error = ended.block_on(tokens.token()).expect_err("no runtime");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
    // A fetch may be under way in another one.
    let alive = runtime();
    let other = tokens.clone();
    alive.spawn(async move { other.token().await });
    assert_eq!(starts.recv(), Ok(1));
    let error = ended.block_on(tokens.token()).expect_err("no runtime");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
}

#[test]
fn a_runtime_without_a_timer_gives_an_error_and_no_panic() {
    let (tokens, _starts) = stuck_once();
    let timeless = Builder::new_current_thread().build().expect("a runtime");
    let error = timeless.block_on(tokens.token()).expect_err("no timer");
    assert_eq!(error.kind(), TokenErrorKind::NoRuntime);
}

#[test]
fn a_static_cache_serves_several_runtimes_at_once_with_one_fetch() {
    static FETCHES: LazyLock<Count> = LazyLock::new(Count::default);
    static GATE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(0)));
    static TOKENS: LazyLock<TokenCache> = LazyLock::new(|| {
        TokenCache::new(|| async {
            FETCHES.up();
            GATE.acquire().await?.forget();
            Ok::<_, tower_bearer::BoxError>(token("shared", 3000)?)
        })
    });
    let (waits, waiting) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let waits = waits.clone();
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let mut callers = Vec::new();
                    for _ in 0..50 {
                        callers.push(parked(TOKENS.token()).await);
                    }
                    waits.send(()).expect("the test listens");
                    for caller in callers {
                        assert_eq!(caller.await.expect("a token").generation(), 1);
                    }
                });
            })
        })
        .collect();
    assert_eq!(waiting.iter().take(4).count(), 4);
    GATE.add_permits(1);
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(FETCHES.get(), 1);
}

#[test]
fn a_fetch_whose_runtime_stands_still_is_given_up_in_the_end() {
    let fetches = Count::default();
    let count = fetches.clone();
    let tokens = TokenCache::new(move || {
        let n = count.up();
        async move {
            sleep(secs(1)).await;
            token(&format!("t{n}"), 3000)
        }
    });
    let paused = || {
        let mut builder = Builder::new_current_thread();
        builder
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime")
    };
    // Still exists, but is not driven any more.
    let idle = paused();
    idle.block_on(async {
        tokio::select! {
            biased;
            _ = tokens.token() => panic!("a token at once"),
            () = tokio::task::yield_now() => {}
        }
    });
    paused().block_on(async {
        let error = tokens.token().await.expect_err("its own wait is over");
        assert_eq!(error.kind(), TokenErrorKind::WaitTimeout);
        sleep(secs(40)).await;
        let token = tokens.token().await.expect("a token");
        assert_eq!((token.secret(), fetches.get()), ("t2", 2));
    });
    // The result of the lost fetch replaces nothing.
    idle.block_on(async { sleep(secs(2)).await });
    assert_eq!(tokens.status().generation, Some(1));
}
