//! The promises of the cache, on paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{advance, sleep};
use tower_bearer::{AccessToken, TokenCache, TokenError, TokenErrorKind};

fn token(text: &str, lifetime: u64) -> Result<AccessToken, TokenError> {
    Ok(AccessToken::new(text)?.with_lifetime(Duration::from_secs(lifetime)))
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A cache whose source takes a second.
fn slow(lifetime: u64) -> (TokenCache, Count) {
    let count = Count::default();
    let fetches = count.clone();
    let cache = TokenCache::new(move || {
        let n = fetches.up();
        async move {
            sleep(Duration::from_secs(1)).await;
            token(&format!("t{n}"), lifetime)
        }
    });
    (cache, count)
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_fetch() {
    let (tokens, fetches) = slow(3000);
    let callers: Vec<_> = (0..1000)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for caller in callers {
        let token = caller.await.expect("no panic").expect("a token");
        assert_eq!((token.secret(), token.generation()), ("t1", 1));
    }
    assert_eq!(fetches.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_does_not_end_the_fetch() {
    let (tokens, fetches) = slow(3000);
    let impatient = tokio::time::timeout(Duration::from_millis(10), tokens.token());
    assert!(impatient.await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(tokens.status().generation, Some(1));
    assert_eq!(tokens.token().await.expect("a token").secret(), "t1");
    assert_eq!(fetches.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_due_token_serves_while_one_renewal_runs_behind_it() {
    let (tokens, fetches) = slow(100);
    tokens.token().await.expect("a token");
    advance(Duration::from_secs(85)).await;
    assert!(tokens.status().is_due);
    for _ in 0..100 {
        assert_eq!(tokens.token().await.expect("a token").generation(), 1);
    }
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(fetches.get(), 2);
    assert_eq!(tokens.token().await.expect("a token").generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_source_is_an_error_for_every_waiter() {
    let tokens = TokenCache::new(|| async {
        tokio::task::yield_now().await;
        if true {
            panic!("boom");
        }
        token("never", 1)
    });
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for caller in callers {
        let error = caller.await.expect("no panic").expect_err("an error");
        assert_eq!(error.kind(), TokenErrorKind::Panicked);
    }
}
