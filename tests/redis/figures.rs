//! The server's memory and work for each account.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_bearer::TokenCache;
use tower_bearer::store::RedisStore;
use tower_bearer::testing::TokenServer;

use crate::conformance::fetch;
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

fn cache(server: &TokenServer, store: &RedisStore, account: &str, process: usize) -> TokenCache {
    // Caches of one process would wait for each other before they ask the store.
    let grant = server.grant().param("process", process.to_string());
    let cache = TokenCache::builder(grant.expect("a parameter")).store(store.clone(), account);
    // A process without optimizations takes long for thousands at once.
    let cache = cache
        .store_timeout(PATIENCE)
        .store_connect_timeout(PATIENCE);
    cache.build().expect("a cache")
}

#[tokio::test]
async fn an_account_takes_three_keys_and_some_kilobytes() {
    let (redis, server) = (Server::start().await, TokenServer::builder().in_process());
    let tokens = cache(&server, &redis.store(), "me", 0);
    let length = tokens.token().await.expect("a token").secret().len();
    // Withdrawals and failures do not occur in the ordinary run of things.
    let keys: Vec<String> = redis.ask("KEYS tower-bearer:*").await;
    let mut bytes = 0;
    for key in &keys {
        bytes += redis
            .run::<usize>(Cmd::new().arg("MEMORY").arg("USAGE").arg(key))
            .await;
    }
    println!("an account: {bytes} bytes, with an access token of {length}, keys: {keys:?}");
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(bytes <= 3174, "{bytes} bytes are more than 3.1 kB");
}

/// How long the server's scripts took, in its own words.
async fn script_time(redis: &Server) -> String {
    let stats: String = redis.ask("INFO commandstats").await;
    let scripts = stats.lines().find(|line| line.contains("evalsha:"));
    scripts.unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_fetch_costs_the_server_two_short_scripts() {
    let redis = Server::start().await;
    let store = redis.store();
    for n in 0..500 {
        let account = format!("account {n}");
        fetch(&store, &account, ("token", "refresh")).await;
    }
    let time = script_time(&redis).await;
    println!("500 fetches, one after the other: {time}");
    // The first of each kind is sent with its text, and is not counted here.
    assert!(time.contains("calls=998,"), "{time}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_accounts_of_twenty_processes_log_in_once_each() {
    let redis = Server::start().await;
    let server = Arc::new(TokenServer::builder().in_process());
    let stores: Vec<_> = (0..20).map(|_| redis.store()).collect();
    let start = Instant::now();
    let mut processes = JoinSet::new();
    for (process, store) in stores.into_iter().enumerate() {
        let server = Arc::clone(&server);
        processes.spawn(async move {
            let mut caches = JoinSet::new();
            // Two processes use each account.
            for n in (process % 10..2000).step_by(10) {
                let tokens = cache(&server, &store, &format!("account {n}"), process);
                caches.spawn(async move { tokens.token().await.expect("a token") });
            }
            caches.join_all().await.len()
        });
    }
    let served: usize = processes.join_all().await.into_iter().sum();
    let (elapsed, counts) = (start.elapsed(), server.counts());
    println!(
        "{served} caches of 2000 accounts in {elapsed:?}: {} logins; {}",
        counts.password_grants,
        script_time(&redis).await,
    );
    assert_eq!((served, counts.password_grants), (4000, 2000));
}
