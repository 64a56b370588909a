//! Requests and results that Redis processes late, and sessions opened meanwhile.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower_bearer::store::{Account, RedisStore};
use tower_bearer::testing::TokenServer;
use tower_bearer::{TokenCache, TokenSource};

use crate::conformance;
use crate::fleet::secs;
use crate::proxy::Proxy;
use crate::server::{Server, key, until};

const NAME: &str = "me";

/// A cache that shares no memory with the others of this process.
fn cache(server: &TokenServer, store: RedisStore, process: usize) -> TokenCache {
    let grant = server.grant().param("process", process.to_string());
    let cache = TokenCache::builder(grant.expect("a parameter")).store(store, NAME);
    cache.build().expect("a cache")
}

async fn tokens(caches: &[TokenCache]) -> Vec<String> {
    let fetches = caches.iter().map(|cache| {
        let cache = cache.clone();
        tokio::spawn(async move { cache.token().await })
    });
    let mut tokens = Vec::new();
    for fetch in fetches.collect::<Vec<_>>() {
        let token = fetch.await.expect("no panic").expect("a token");
        tokens.push(token.secret().to_owned());
    }
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_do_not_wait_for_a_lease_that_nobody_holds() {
    let (redis, server) = (Server::start().await, TokenServer::builder().in_process());
    let caches: Vec<_> = (0..3).map(|n| cache(&server, redis.store(), n)).collect();
    tokens(&caches).await;
    redis.stand_still(true);
    caches.iter().for_each(TokenCache::invalidate);
    let start = Instant::now();
    tokens(&caches).await;
    sleep(Duration::from_millis(1500).saturating_sub(start.elapsed())).await;
    redis.stand_still(false);
    sleep(Duration::from_millis(100)).await;
    let logins = server.counts().password_grants;
    let newcomers: Vec<_> = (3..7).map(|n| cache(&server, redis.store(), n)).collect();
    let start = Instant::now();
    let theirs = tokens(&newcomers).await;
    println!(
        "newcomers waited {:?}, with {} logins",
        start.elapsed(),
        server.counts().password_grants - logins
    );
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    assert_eq!(
        server.counts().password_grants,
        logins,
        "the refresh token is gone"
    );
    assert!(theirs.iter().all(|token| token == &theirs[0]));
    assert_eq!(server.counts().refresh_token_reuses, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_settled_late_is_as_old_as_it_is() {
    let (redis, life) = (Server::start().await, secs(12));
    let server = TokenServer::builder()
        .access_token_lifetime(life)
        .delay(Duration::from_millis(500))
        .in_process();
    let store = redis.store();
    let first = cache(&server, redis.store(), 0);
    let fetch = tokio::spawn({
        let first = first.clone();
        async move { first.token().await }
    });
    sleep(Duration::from_millis(250)).await;
    let requested = Instant::now();
    redis.stand_still(true);
    sleep(secs(6)).await;
    fetch.await.expect("no panic").expect("a token");
    // No other process writes.
    drop(first);
    redis.stand_still(false);
    let account = Account::new(NAME).held_by(server.grant().holder());
    let mut entry = None;
    until("a token", async || {
        entry = conformance::token_of(&store, &account).await;
        entry.is_some()
    })
    .await;
    let (says, is) = (entry.expect("there").ttl, life - requested.elapsed());
    println!("the store says {says:?} left where {is:?} are, and a little less");
    assert!(
        says <= is + secs(1) / 4 && says + secs(1) > is,
        "{says:?} {is:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_opened_without_redis_are_ended_when_it_is_back() {
    let (redis, server) = (Server::start().await, TokenServer::builder().in_process());
    let proxy = Proxy::to(redis.port()).await;
    let store = || {
        let store = RedisStore::builder(proxy.url()).key(key(1));
        store.build().expect("a store")
    };
    let caches: Vec<_> = (0..8).map(|n| cache(&server, store(), n)).collect();
    tokens(&caches).await;
    proxy.stall(true);
    caches.iter().for_each(TokenCache::invalidate);
    tokens(&caches).await;
    sleep(secs(10)).await;
    let opened = server.counts().open_sessions;
    proxy.stall(false);
    let start = Instant::now();
    until("one session", async || server.counts().open_sessions == 1).await;
    println!(
        "{opened} sessions opened, 1 left {:?} later",
        start.elapsed()
    );
    assert_eq!(opened, 9);
    let all = tokens(&caches).await;
    assert!(all.iter().all(|token| token == &all[0]));
    assert_eq!(server.counts().refresh_token_reuses, 0);
}
