//! Random histories: whatever is evicted, expires, is rejected or fails, each
//! request is sent with the token of its own account.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceExt};

use tower_bearer::Accounts;
use tower_bearer::testing::{MockResponse, TokenServer};

use crate::common::{millis, secs};
use crate::tenants::{Client, Tenant, builder, call, client, of, served, tenant};

const TENANTS: usize = 6;

/// What a history does between two requests.
fn disturb(rng: &mut Rng, server: &TokenServer, accounts: &Accounts<Tenant>) {
    let tenant = tenant(rng.usize(..TENANTS));
    match rng.u8(..12) {
        0 => server.revoke_access_tokens(),
        1 => server.end_sessions(),
        2 => drop(accounts.remove(&tenant)),
        3 | 4 => {
            if let Some(tokens) = accounts.get(&tenant) {
                tokens.invalidate();
            }
        }
        5 => server
            .api()
            .enqueue([MockResponse::unauthorized(["Bearer"])]),
        6 => server
            .token_endpoint()
            .enqueue([MockResponse::status(StatusCode::SERVICE_UNAVAILABLE)]),
        7 => server.set_delay(millis(rng.u64(..2000))),
        8 => {
            if let Some(tokens) = accounts.get(&tenant) {
                tokens.reset();
            }
        }
        _ => {}
    }
}

async fn history(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let lifetime = secs(rng.u64(2..30));
    let builder = TokenServer::builder().access_token_lifetime(lifetime);
    let server = served(TENANTS, builder.rotate_refresh_tokens(rng.bool()));
    let mut builder = crate::tenants::builder(&server)
        .capacity(rng.usize(1..=TENANTS))
        .idle_timeout(secs(rng.u64(1..20)))
        .max_concurrent_fetches(rng.usize(1..4));
    if rng.bool() {
        builder = builder.revoke_evicted(millis(rng.u64(..3000)));
    }
    let accounts = builder.build().expect("settings");
    let shared = client(&server, &accounts);
    let mut kept = shared.clone();
    let mut under_way = JoinSet::new();
    for _ in 0..60 {
        disturb(&mut rng, &server, &accounts);
        let tenant = tenant(rng.usize(..TENANTS));
        if rng.bool() {
            let client = shared.clone();
            under_way.spawn(async move { drop(call(&client, &tenant).await) });
        } else {
            let ready = kept.ready().await.expect("ready");
            let answer = ready.call(of(&tenant));
            under_way.spawn(async move { drop(answer.await) });
        }
        if rng.u8(..3) == 0 {
            sleep(millis(rng.u64(..3000))).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.expect("no panic");
    }
    kept.inner().assert_not_mixed_up();
}

fn histories() -> u64 {
    let number = std::env::var("MODEL_HISTORIES").ok();
    number.map_or(100, |number| number.parse().expect("a number"))
}

#[test]
fn in_any_history_each_request_has_the_token_of_its_account() {
    let first = fastrand::u64(..1 << 40);
    let seeds = match std::env::var("MODEL_SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("a number");
            seed..seed + 1
        }
        Err(_) => first..first + histories(),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(history(seed)));
        if std::panic::catch_unwind(run).is_err() {
            panic!("the history of MODEL_SEED={seed} mixed accounts up");
        }
    }
}

#[test]
fn threads_that_evict_each_others_accounts_never_get_each_others_tokens() {
    const THREADS: usize = 4;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_time()
        .build()
        .expect("a runtime");
    let server = served(TENANTS, TokenServer::builder());
    let accounts = builder(&server).capacity(2).build().expect("settings");
    let client = client(&server, &accounts);
    let answers = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..8 {
            let (accounts, mut kept) = (accounts.clone(), client.clone());
            let answers = answers.clone();
            tasks.spawn(async move {
                let mut rng = Rng::with_seed(task);
                for _ in 0..500 {
                    let tenant = tenant(rng.usize(..TENANTS));
                    ask(&mut kept, &tenant).await;
                    answers.fetch_add(1, Ordering::Relaxed);
                    if rng.u8(..8) == 0 {
                        accounts.remove(&tenant);
                    }
                    assert!(accounts.len() <= 2 + 8);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no panic");
        }
    });
    client.inner().assert_not_mixed_up();
    assert_eq!(answers.load(Ordering::Relaxed), 4000);
    // Accounts in use at the last eviction, even if only by a task that is about to
    // end, are evicted by a later one.
    let evicted = (0..100).any(|_| {
        accounts.remove(&tenant(0));
        runtime.block_on(ask(&mut client.clone(), &tenant(0)));
        accounts.len() <= 2
    });
    assert!(evicted, "{}", accounts.len());
}

async fn ask(client: &mut Client, tenant: &Tenant) {
    let ready = client.ready().await.expect("ready");
    let answer = ready.call(of(tenant)).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}
