//! A master, a replica and a sentinel.

use std::collections::HashMap;

use tokio::time::{sleep, timeout};
use tower_bearer::store::{RedisStore, RedisStoreBuilder, TokenStore};

use crate::caches::Caches;
use crate::conformance::{
    self, acquire_lease, acquire_token, complete, completion, completion_with_tokens, fetch,
    payload, refresh_payload, request,
};
use crate::fleet::{nothing_failed, secs, token_server};
use crate::server::{Server, free_port, key, until};

struct SentinelSetup {
    master: Server,
    replica: Server,
    sentinel: Server,
}

impl SentinelSetup {
    async fn start() -> Self {
        let password = "requirepass s3cret\nmasterauth s3cret\nsave \"\"\n";
        let master = Server::with(password).await;
        let port = master.port();
        let follow = format!("{password}replicaof 127.0.0.1 {port}\nrepl-diskless-sync-delay 0\n");
        let replica = Server::with(&follow).await;
        until("a replica in step", async || {
            let info: String = ask(&replica, "INFO replication").await;
            info.contains("master_link_status:up")
        })
        .await;
        let sentinel = Server::with(&format!(
            "sentinel monitor my-master 127.0.0.1 {port} 1\n\
             sentinel auth-pass my-master s3cret\n\
             sentinel down-after-milliseconds my-master 1000\n\
             sentinel failover-timeout my-master 5000\n"
        ))
        .await;
        until("a replica that the sentinel knows", async || {
            let master: HashMap<String, String> = sentinel.ask("SENTINEL MASTER my-master").await;
            master["num-slaves"] == "1" && master["flags"] == "master"
        })
        .await;
        Self {
            master,
            replica,
            sentinel,
        }
    }

    fn builder(&self) -> RedisStoreBuilder {
        let no_server = format!("redis://127.0.0.1:{}", free_port());
        let sentinels = [no_server, self.sentinel.url()];
        RedisStore::sentinel(sentinels, "redis://:s3cret@my-master").key(key(1))
    }

    fn store(&self) -> RedisStore {
        self.builder().build().expect("a store")
    }

    async fn known(&self) -> HashMap<String, String> {
        self.sentinel.ask("SENTINEL MASTER my-master").await
    }

    /// Until the sentinel has put the replica in the master's place.
    async fn followed(&self) {
        let port = self.replica.port().to_string();
        until("a fail-over", async || {
            let known = self.known().await;
            known["port"] == port && known["flags"] == "master"
        })
        .await;
    }
}

async fn ask<T: redis::FromRedisValue>(server: &Server, words: &str) -> T {
    let url = format!("redis://:s3cret@127.0.0.1:{}", server.port());
    let client = redis::Client::open(url).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await;
    let connection = connection.as_mut().expect("a connection");
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("a word"));
    words.for_each(|word| {
        command.arg(word);
    });
    command.query_async(connection).await.expect("an answer")
}

#[tokio::test]
async fn a_master_known_to_a_sentinel_does_what_every_store_has_to_do() {
    let watched = SentinelSetup::start().await;
    conformance::all(&watched.store()).await;
    let unknown = RedisStore::sentinel([watched.sentinel.url()], "redis://:s3cret@no-master");
    let unknown = unknown.key(key(1)).build().expect("a store");
    unknown
        .acquire(&"me".into(), &request(0))
        .await
        .expect_err("no master");
}

/// A store continues after the master was killed, or told to step down.
async fn follows_a_fail_over(watched: &mut SentinelSetup, is_killed: bool) {
    let (store, other) = (watched.store(), watched.store());
    let mut changes = store.changes(&"me".into());
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    acquire_lease(&other, "other", request(0)).await;
    until("replicated", async || {
        ask::<u64>(&watched.replica, "DBSIZE").await >= 4
    })
    .await;
    if is_killed {
        watched.master.kill();
    } else {
        let mut connection = watched.sentinel.connection().await;
        let mut command = redis::cmd("SENTINEL");
        command.arg("FAILOVER").arg("my-master");
        // It must first learn of the replica's state.
        until("a replica to take over", async || {
            command.query_async::<()>(&mut connection).await.is_ok()
        })
        .await;
    }
    watched.followed().await;
    if !is_killed {
        // Until then it remains the master for clients that have a connection.
        until("the old master has stepped down", async || {
            let info: String = ask(&watched.master, "INFO replication").await;
            info.contains("role:slave")
        })
        .await;
    }
    assert_eq!(acquire_token(&store, "me", 0).await.payload, payload("t1"));
    let next = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(
        refresh_payload(&next),
        None,
        "the replica cannot know whether it was sent"
    );
    assert!(next.generation > lease.generation);
    complete(
        &store,
        "me",
        completion_with_tokens(next.generation, "t2", "r2"),
    )
    .await;
    let info: String = ask(&watched.replica, "INFO replication").await;
    assert!(info.contains("role:master"), "{info}");
    let keys: u64 = ask(&watched.replica, "EXISTS tower-bearer:{me}:token").await;
    assert_eq!(keys, 1);
    let kept = acquire_lease(&store, "me", request(next.generation)).await;
    assert_eq!(
        refresh_payload(&kept),
        Some(payload("r2")),
        "its own it hands over"
    );
    // The subscription has its pauses before it is there again.
    until("notified", async || {
        changes.mark_unchanged();
        let lease = acquire_lease(&other, "third", request(0)).await;
        complete(&other, "third", completion(lease.generation)).await;
        complete(&other, "me", completion(1)).await;
        matches!(timeout(secs(1), changes.changed()).await, Ok(Ok(())))
    })
    .await;
}

#[tokio::test]
async fn when_the_master_dies_the_store_goes_on_with_the_next_one() {
    follows_a_fail_over(&mut SentinelSetup::start().await, true).await;
}

#[tokio::test]
async fn when_the_master_steps_down_the_store_goes_on_with_the_next_one() {
    follows_a_fail_over(&mut SentinelSetup::start().await, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caches_lose_no_call_when_the_master_dies() {
    let (mut watched, server) = (SentinelSetup::start().await, token_server().await);
    let stores: Vec<_> = (0..3).map(|_| watched.store()).collect();
    let caches = Caches::start(&server, stores, secs(34));
    sleep(secs(5)).await;
    assert_eq!(server.counts().token_requests, 1, "one for all of them");
    watched.master.kill();
    watched.followed().await;
    // A token's life, and the pauses of the caches.
    sleep(secs(14)).await;
    let meanwhile = server.counts();
    let report = caches.report().await;
    let counts = server.counts();
    nothing_failed("the sentinel's master killed", &report, &counts);
    let after = counts.token_requests - meanwhile.token_requests;
    println!("token requests from 14 s after the fail-over on: {after}");
    assert!((1..=4).contains(&after), "not as one: {after}");
}
