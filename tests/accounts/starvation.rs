//! Permits: no account keeps another from its token.

use std::future::pending;
use std::sync::Arc;
use std::sync::OnceLock;

use tokio::time::{Instant, sleep};

use tower_bearer::testing::{MockResponse, TokenServer};
use tower_bearer::{AccessToken, Accounts, BoxError, BoxTokenSource, TokenError};

use crate::common::{Count, millis, secs, token};

type Closure = Box<dyn Fn() -> Fetch + Send + Sync>;
type Fetch = std::pin::Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send>>;

fn source(fetch: impl Fn() -> Fetch + Send + Sync + 'static) -> Result<Closure, BoxError> {
    Ok(Box::new(fetch))
}

#[tokio::test(start_paused = true)]
async fn sources_that_ask_other_accounts_for_a_token_hold_no_permit_meanwhile() {
    const TENANTS: usize = 64;
    let all = Arc::new(OnceLock::<Accounts<usize>>::new());
    let outer = all.clone();
    let accounts = Accounts::new(move |key: usize| {
        let all = outer.clone();
        async move {
            source(move || {
                let all = all.clone();
                Box::pin(async move {
                    if key < TENANTS {
                        let all = all.get().expect("set");
                        // One for all, and one for each.
                        all.get_or_create(&1000)?.token().await?;
                        all.get_or_create(&(TENANTS + key))?.token().await?;
                    }
                    sleep(millis(500)).await;
                    token(&format!("t{key}"), 3000)
                })
            })
        }
    });
    all.set(accounts.clone()).expect("once");
    let start = Instant::now();
    let callers = (0..TENANTS).map(|key| {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokio::spawn(async move { tokens.token().await })
    });
    let mut ok = 0;
    for caller in callers.collect::<Vec<_>>() {
        ok += usize::from(caller.await.expect("no panic").is_ok());
    }
    assert_eq!(ok, 64);
    assert_eq!(start.elapsed(), millis(1500));
    assert_eq!(accounts.fetches_in_progress(), 0);
}

/// Starts a caller for each of a thousand accounts that hang, with the healthy one
/// at this place among them. Returns how long that one waits, in a first round and
/// in a second one.
async fn waits(accounts: &Accounts<usize>, healthy: usize) -> [std::time::Duration; 2] {
    let mut waits = [secs(0); 2];
    for wait in &mut waits {
        let start = Instant::now();
        let mut ok = None;
        for key in 0..=1000 {
            let tokens = accounts.get_or_create(&key).expect("an account");
            tokens.invalidate();
            let caller = tokio::spawn(async move { tokens.token().await.map(|_| start.elapsed()) });
            if key == healthy {
                ok = Some(caller);
            }
        }
        *wait = ok
            .expect("there")
            .await
            .expect("no panic")
            .expect("a token");
        assert!(accounts.fetches_in_progress() <= 64 + 64 + 16);
        sleep(secs(60)).await;
        assert!(accounts.fetches_in_progress() <= 64 / 4 + 64);
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn a_thousand_accounts_whose_endpoint_hangs_delay_a_healthy_one_by_less_than_two_seconds() {
    for healthy in [0, 500, 1000] {
        let hangs = TokenServer::builder().user("me", "pw").in_process();
        let never = MockResponse::default().after(secs(1 << 20));
        hangs.token_endpoint().set_default(never);
        let well = TokenServer::builder().user("me", "pw").in_process();
        let (hangs, well) = (Arc::new(hangs), Arc::new(well));
        let accounts = Accounts::new(move |key: usize| {
            let grant = match key == healthy {
                true => well.grant_for("me", "pw"),
                false => hangs.grant_for(format!("tenant {key}"), "pw"),
            };
            async { Ok::<_, BoxError>(grant) }
        });
        let waits = waits(&accounts, healthy).await;
        assert!(waits.iter().all(|wait| *wait < secs(2)), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_endpoint_is_known_the_accounts_that_hang_delay_the_latest_by_less_than_two_seconds()
 {
    let healthy = 1000;
    let accounts = Accounts::new(move |key: usize| async move {
        source(move || {
            Box::pin(async move {
                if key != healthy {
                    pending::<()>().await;
                }
                token("t", 3000)
            })
        })
    });
    let mut waited = Vec::new();
    for round in 0..3 {
        let start = Instant::now();
        for key in 0..1000 {
            let tokens = accounts.get_or_create(&key).expect("an account");
            tokio::spawn(async move { tokens.token().await });
        }
        let tokens = accounts.get_or_create(&healthy).expect("an account");
        tokens.invalidate();
        tokens.token().await.expect("a token");
        waited.push(start.elapsed());
        sleep(secs(35 * round)).await;
    }
    assert!(waited.iter().all(|wait| *wait < secs(2)), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn accounts_that_take_longer_than_a_second_share_a_quarter_until_they_are_quick() {
    let (begun, ended) = (Count::default(), Count::default());
    let slow = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_slow = slow.clone();
    let (up, down) = (begun.clone(), ended.clone());
    let accounts = Accounts::builder(move |_: usize| {
        let (up, down, slow) = (up.clone(), down.clone(), is_slow.clone());
        async move {
            source(move || {
                let (up, down, slow) = (up.clone(), down.clone(), slow.clone());
                Box::pin(async move {
                    up.up();
                    let slow = slow.load(std::sync::atomic::Ordering::Relaxed);
                    sleep(if slow { secs(3) } else { millis(100) }).await;
                    down.up();
                    token("t", 3000)
                })
            })
        }
    });
    let accounts = accounts.max_concurrent_fetches(8).build().expect("valid");
    let all: Vec<_> = (0..8)
        .map(|key| accounts.get_or_create(&key).expect("an account"))
        .collect();
    for tokens in &all {
        tokens.ready().expect_err("fetching");
    }
    sleep(secs(4)).await;
    assert_eq!((begun.get(), ended.get()), (8, 8));
    for tokens in &all {
        tokens.invalidate();
        tokens.ready().expect_err("fetching");
    }
    sleep(secs(1)).await;
    assert_eq!(begun.get() - ended.get(), 2, "a quarter of 8");
    slow.store(false, std::sync::atomic::Ordering::Relaxed);
    sleep(secs(10)).await;
    assert_eq!((begun.get(), ended.get()), (16, 16));
    for tokens in &all {
        tokens.invalidate();
        tokens.ready().expect_err("fetching");
    }
    sleep(millis(50)).await;
    assert_eq!(begun.get() - ended.get(), 8, "all are quick again");
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_is_not_quick_because_a_refusal_was_remembered() {
    let server = TokenServer::builder().user("anna", "pw").user("bert", "pw");
    let server = Arc::new(server.user("carl", "pw").in_process());
    let of = server.clone();
    let accounts = Accounts::builder(move |(user, password, _): (&'static str, _, u8)| {
        let grant = of.grant_for(user, password);
        async { Ok::<_, BoxError>(grant) }
    });
    let accounts = accounts.max_concurrent_fetches(4).build().expect("valid");
    let start = |key: (&'static str, &'static str, u8)| {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokio::spawn(async move { tokens.token().await })
    };
    server.set_delay(secs(3));
    let refused = [start(("anna", "wrong", 0)), start(("anna", "wrong", 1))];
    for caller in refused {
        caller.await.expect("no panic").expect_err("refused");
    }
    assert_eq!(server.token_requests(), 1, "the other one from memory");
    server.set_delay(millis(500));
    let others = ["anna", "bert", "carl"].map(|user| start((user, "pw", 0)));
    sleep(millis(100)).await;
    assert_eq!(accounts.fetches_in_progress(), 1, "a quarter of 4");
    for caller in others {
        caller.await.expect("no panic").expect("a token");
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_with_different_grants_fit_in_one_place() {
    let server = TokenServer::builder().user("anna", "pw");
    let server = Arc::new(server.in_process());
    let accounts = Accounts::new(move |tenant: &'static str| {
        let source = match tenant {
            "anna" => BoxTokenSource::new(server.grant_for("anna", "pw")),
            _ => BoxTokenSource::new(AccessToken::new("fixed").expect("valid")),
        };
        async { Ok::<_, BoxError>(source) }
    });
    let anna = accounts.get_or_create(&"anna").expect("an account");
    assert_ne!(anna.token().await.expect("a token").secret(), "fixed");
    let fixed = accounts.get_or_create(&"bert").expect("an account");
    assert_eq!(fixed.token().await.expect("a token").secret(), "fixed");
}
