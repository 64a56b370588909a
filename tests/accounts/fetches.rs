//! Fetches: one for each account, independent of others, with a common limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};

use tower_bearer::testing::TokenServer;
use tower_bearer::{Accounts, BoxError, ConfigError, TokenError, TokenErrorKind};

use crate::common::{Count, millis, secs, token};
use crate::tenants::{Tenant, accounts, builder, call, client, served, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_of_many_accounts_make_one_token_request_for_each() {
    let server = served(50, TokenServer::builder().delay(millis(20)));
    let accounts = accounts(&server);
    let client = client(&server, &accounts);
    let callers = (0..5000).map(|n| {
        let client = client.clone();
        tokio::spawn(async move { call(&client, &tenant(n % 50)).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        let status = caller.await.expect("no panic").expect("an answer");
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(server.token_requests(), 50);
    assert_eq!(accounts.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_hangs_does_not_delay_others() {
    let accounts = Accounts::new(|name: String| async move {
        if name == "hangs" {
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>(move || {
            let name = name.clone();
            async move { token(&name, 3000) }
        })
    });
    let stuck = accounts
        .get_or_create(&"hangs".to_owned())
        .expect("an account");
    let stuck = tokio::spawn(async move { stuck.token().await });
    let start = Instant::now();
    for n in 0..100 {
        let tokens = accounts
            .get_or_create(&format!("t{n}"))
            .expect("an account");
        assert_eq!(
            tokens.token().await.expect("a token").secret(),
            format!("t{n}")
        );
    }
    assert_eq!(start.elapsed(), millis(0));
    let error = stuck.await.expect("no panic").expect_err("it hangs");
    assert!(error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_made_fails_for_its_key_only_and_is_backed_off() {
    let (tries, made) = (Count::default(), Count::default());
    let (tried, counted) = (tries.clone(), made.clone());
    let accounts = Accounts::new(move |name: String| {
        let (tried, made) = (tried.clone(), counted.clone());
        async move {
            sleep(millis(100)).await;
            if name == "bad" && tried.up() <= 2 {
                return Err("the secret store is away".into());
            }
            made.up();
            Ok::<_, BoxError>(move || {
                let name = name.clone();
                async move { token(&name, 3000) }
            })
        }
    });
    let bad = accounts
        .get_or_create(&"bad".to_owned())
        .expect("an account");
    let good = accounts
        .get_or_create(&"good".to_owned())
        .expect("an account");
    assert!(good.token().await.is_ok());
    for tried in 1..=2 {
        let error = bad.token().await.expect_err("no source");
        assert_eq!(error.kind(), TokenErrorKind::Source);
        let cause = error.get_ref().expect("a cause");
        assert_eq!(cause.to_string(), "the secret store is away");
        assert!(bad.token().await.is_err());
        assert_eq!(tries.get(), tried, "a second try before the pause was over");
        assert!(good.token().await.is_ok());
        sleep(error.retry_after().expect("a pause")).await;
    }
    assert_eq!(tries.get(), 2);
    sleep(secs(1)).await;
    for _ in 0..3 {
        assert_eq!(bad.token().await.expect("a token").secret(), "bad");
        bad.invalidate();
        good.invalidate();
        assert!(good.token().await.is_ok());
    }
    assert_eq!(made.get(), 2, "each source is made once");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_source_is_made_is_an_error() {
    let accounts = Accounts::new(|name: String| async move {
        assert_ne!(name, "bad", "a scripted panic");
        Ok::<_, BoxError>(|| async { token("t", 3000) })
    });
    let bad = accounts
        .get_or_create(&"bad".to_owned())
        .expect("an account");
    let error = bad.token().await.expect_err("a panic");
    assert_eq!(error.kind(), TokenErrorKind::Panicked);
    let good = accounts
        .get_or_create(&"good".to_owned())
        .expect("an account");
    assert!(good.token().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_read_again_after_a_reset() {
    let server = served(2, TokenServer::builder());
    let secrets: Arc<Mutex<HashMap<String, String>>> = Arc::default();
    let set = |name: &str, secret: &str| {
        secrets
            .lock()
            .expect("no panic")
            .insert(name.into(), secret.into());
    };
    set("t0", "outdated");
    set("t1", "secret of t1");
    let (grants, store) = (server.clone(), secrets.clone());
    let accounts = Accounts::new(move |Tenant(name): Tenant| {
        let password = store.lock().expect("no panic")[&name].clone();
        let grant = grants.grant_for(name, password);
        async { Ok::<_, BoxError>(grant) }
    });
    let client = client(&server, &accounts);
    for _ in 0..5 {
        let error = call(&client, &tenant(0)).await.expect_err("refused");
        let error = TokenError::find(&error).expect("a token error").kind();
        assert_eq!(error, TokenErrorKind::Refused);
        assert!(call(&client, &tenant(1)).await.is_ok());
    }
    assert_eq!(server.token_requests(), 2, "the refusal sticks");
    set("t0", "secret of t0");
    accounts.get(&tenant(0)).expect("there").reset();
    assert!(call(&client, &tenant(0)).await.is_ok());
    assert_eq!(server.token_requests(), 3);
}

/// Creates sources whose fetch takes this many seconds; counts the fetches, and the
/// most that were in progress at a time.
fn slow(seconds: u64) -> (Count, Arc<AtomicUsize>, impl Fn(usize) -> Made + Clone) {
    let (fetches, most) = (Count::default(), Arc::new(AtomicUsize::new(0)));
    let running = Arc::new(AtomicUsize::new(0));
    let (count, peak) = (fetches.clone(), most.clone());
    let make = move |_: usize| -> Made {
        let (count, peak, running) = (count.clone(), peak.clone(), running.clone());
        std::future::ready(Ok(Box::new(move || {
            let (peak, running) = (peak.clone(), running.clone());
            count.up();
            Box::pin(async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                peak.fetch_max(now, Ordering::SeqCst);
                sleep(secs(seconds)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                token("t", 100_000)
            })
        })))
    };
    (fetches, most, make)
}

type Fetched = Result<tower_bearer::AccessToken, tower_bearer::TokenError>;
type Fetch = std::pin::Pin<Box<dyn Future<Output = Fetched> + Send>>;
type Made = std::future::Ready<Result<Box<dyn Fn() -> Fetch + Send + Sync>, BoxError>>;

#[tokio::test(start_paused = true)]
async fn no_more_fetches_run_at_a_time_than_allowed() {
    let (fetches, most, make) = slow(1);
    let accounts = Accounts::builder(make).max_concurrent_fetches(10);
    let accounts = accounts
        .settings(|cache| cache.wait_timeout(secs(3600)))
        .build()
        .expect("settings");
    let callers = (0..1000).map(|key| {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokio::spawn(async move { tokens.token().await })
    });
    let callers: Vec<_> = callers.collect();
    sleep(millis(500)).await;
    assert_eq!(accounts.fetches_in_progress(), 10);
    for caller in callers {
        caller.await.expect("no panic").expect("a token");
    }
    assert_eq!((fetches.get(), most.load(Ordering::SeqCst)), (1000, 10));
    assert_eq!(accounts.fetches_in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_long_for_a_permit_is_not_lost() {
    let (fetches, _, make) = slow(25);
    let accounts = Accounts::builder(make).max_concurrent_fetches(1);
    let accounts = accounts
        .settings(|cache| cache.wait_timeout(secs(3600)))
        .build()
        .expect("settings");
    let callers = (0..20).flat_map(|key| [key, key]).map(|key| {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokio::spawn(async move { tokens.token().await })
    });
    let callers: Vec<_> = callers.collect();
    // A caller arrives long after the first fetches would have been abandoned.
    sleep(secs(300)).await;
    for key in 0..20 {
        let tokens = accounts.get_or_create(&key).expect("an account");
        let _ = timeout(millis(1), tokens.token()).await;
    }
    for caller in callers {
        caller.await.expect("no panic").expect("a token");
    }
    assert_eq!(fetches.get(), 20);
}

#[tokio::test(start_paused = true)]
async fn settings_are_for_all_accounts_or_for_one() {
    let server = served(2, TokenServer::builder().delay(secs(60)));
    let accounts = builder(&server)
        .settings(|cache| cache.wait_timeout(secs(5)))
        .settings_for(|Tenant(name), cache| match name.as_str() {
            "t1" => cache.wait_timeout(secs(2)),
            _ => cache,
        })
        .build()
        .expect("settings");
    for (number, wait) in [(0, 5), (1, 2)] {
        let start = Instant::now();
        let tokens = accounts.get_or_create(&tenant(number)).expect("an account");
        let error = tokens.token().await.expect_err("too late");
        assert_eq!(error.kind(), TokenErrorKind::WaitTimeout);
        assert_eq!(start.elapsed(), secs(wait));
    }
}

#[test]
fn invalid_settings_of_an_account_fail_for_that_account_only() {
    let server = served(2, TokenServer::builder());
    let accounts = builder(&server)
        .settings_for(|key, cache| match key {
            key if *key == tenant(1) => cache.wait_timeout(secs(0)),
            _ => cache,
        })
        .build()
        .expect("settings");
    assert!(accounts.get_or_create(&tenant(0)).is_ok());
    let error = accounts.get_or_create(&tenant(1)).expect_err("no wait");
    assert_eq!(error.kind(), TokenErrorKind::Config);
}

#[test]
fn invalid_settings_are_refused_by_name() {
    let server = served(1, TokenServer::builder());
    let refused =
        |error: Result<Accounts<Tenant>, ConfigError>| error.expect_err("invalid").field();
    let b = || builder(&server);
    assert_eq!(refused(b().capacity(0).build()), "capacity");
    assert_eq!(refused(b().idle_timeout(secs(0)).build()), "idle_timeout");
    assert_eq!(
        refused(b().max_concurrent_fetches(0).build()),
        "max_concurrent_fetches"
    );
    assert_eq!(
        refused(b().settings(|c| c.wait_timeout(secs(0))).build()),
        "wait_timeout"
    );
    let store = tower_bearer::store::MemoryStore::new();
    let shared = b().settings(|cache| cache.store(store, "everybody"));
    assert_eq!(refused(shared.build()), "store");
}
