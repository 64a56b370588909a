//! A server that is unavailable, slow, restarted or restored.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use tower_bearer::store::{Acquired, RedisStore, TokenStore};

use crate::conformance::{
    acquire, acquire_lease, acquire_token, complete, completion, completion_with_tokens, fetch,
    payload, refresh_payload, request,
};
use crate::proxy::Proxy;
use crate::server::{Server, key, until};

const SECOND: Duration = Duration::from_secs(1);

/// Counts the connections to the server, without the one that asks.
async fn count_connections(server: &Server) -> usize {
    let list: String = server.ask("CLIENT LIST TYPE normal").await;
    let subscribed: String = server.ask("CLIENT LIST TYPE pubsub").await;
    list.lines().count() + subscribed.lines().count() - 1
}

/// Waits until the server has this many connections.
pub(crate) async fn wait_for_connections(server: &Server, number: usize) {
    let deadline = Instant::now() + 5 * SECOND;
    while count_connections(server).await != number {
        assert!(
            Instant::now() < deadline,
            "{} of {number}",
            count_connections(server).await
        );
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn no_connection_is_made_before_its_use_or_stays_after_the_last_handle() {
    let server = Server::start().await;
    let store = server.store();
    assert_eq!(count_connections(&server).await, 0);
    acquire_lease(&store, "me", request(0)).await;
    wait_for_connections(&server, 1).await;
    let other = store.clone();
    let mut changes = store.changes(&"me".into());
    wait_for_connections(&server, 2).await;
    drop(store);
    acquire(&other, "me", request(0)).await;
    assert_eq!(count_connections(&server).await, 2);
    drop(other);
    wait_for_connections(&server, 0).await;
    while changes.changed().await.is_ok() {}
}

#[tokio::test]
async fn an_unavailable_server_is_an_error_at_once_and_works_again_at_once() {
    let mut server = Server::start().await;
    let store = server.store();
    acquire_lease(&store, "me", request(0)).await;
    server.kill();
    for _ in 0..3 {
        let start = Instant::now();
        store
            .acquire(&"me".into(), &request(0))
            .await
            .expect_err("no server");
        store
            .complete(&"me".into(), &completion(1))
            .await
            .expect_err("no server");
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    }
    server.restart().await;
    acquire_lease(&store, "me", request(0)).await;
    // A connection that broke while it was idle causes no error.
    server.kill();
    server.restart().await;
    acquire_lease(&store, "me", request(0)).await;
}

#[tokio::test]
async fn a_server_that_stalls_is_an_error_in_time_and_the_next_connection_works() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port()).await;
    let limit = Duration::from_millis(300);
    let builder = RedisStore::builder(proxy.url()).key(key(1));
    let builder = builder.response_timeout(limit).connect_timeout(limit);
    let store = builder.build().expect("a store");
    acquire_lease(&store, "me", request(0)).await;
    proxy.stall(true);
    for _ in 0..2 {
        let start = Instant::now();
        store
            .acquire(&"other".into(), &request(0))
            .await
            .expect_err("no answer");
        assert!(start.elapsed() < 4 * limit, "{:?}", start.elapsed());
    }
    proxy.stall(false);
    acquire_lease(&store, "third", request(0)).await;
    // A connection that never says anything again.
    proxy.strand();
    store
        .acquire(&"fourth".into(), &request(0))
        .await
        .expect_err("no answer");
    acquire_lease(&store, "fifth", request(0)).await;
}

#[tokio::test]
async fn a_lease_that_arrives_after_its_caller_left_is_returned() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port()).await;
    let builder = RedisStore::builder(proxy.url()).key(key(1));
    let store = builder
        .response_timeout(20 * SECOND)
        .build()
        .expect("a store");
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    proxy.stall(true);
    let wanted = request(lease.generation);
    let left = timeout(
        Duration::from_millis(100),
        store.acquire(&"me".into(), &wanted),
    )
    .await;
    assert!(left.is_err(), "{left:?}");
    proxy.stall(false);
    let direct = server.store();
    let deadline = Instant::now() + 5 * SECOND;
    let next = loop {
        // Not before the late one was there.
        let generation: String = server.ask("HGET tower-bearer:{me}:meta generation").await;
        match acquire(&direct, "me", wanted).await {
            Acquired::Lease(next) if generation != lease.generation.to_string() => break next,
            Acquired::Lease(early) => {
                let mut back = completion(early.generation);
                back.refresh_token = early.refresh_token;
                complete(&direct, "me", back).await;
            }
            _ => {}
        }
        assert!(Instant::now() < deadline, "the lease was not returned");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(refresh_payload(&next), Some(payload("r1")));
}

#[tokio::test]
async fn a_change_in_another_process_is_notified_at_once() {
    let server = Server::start().await;
    let (one, other) = (server.store(), server.store());
    let mut changes = one.changes(&"me".into());
    let mut strangers = one.changes(&"stranger".into());
    wait_for_connections(&server, 1).await;
    sleep(Duration::from_millis(100)).await;
    strangers.mark_unchanged();
    for _ in 0..20 {
        changes.mark_unchanged();
        let lease = acquire_lease(&other, "me", request(0)).await;
        complete(&other, "me", completion(lease.generation)).await;
        timeout(SECOND, changes.changed())
            .await
            .expect("notified")
            .expect("there");
    }
    assert!(!strangers.has_changed().expect("there"));
}

#[tokio::test]
async fn after_an_outage_all_watchers_are_notified_once_and_then_of_changes() {
    let mut server = Server::start().await;
    let (one, other) = (server.store(), server.store());
    let mut watchers: Vec<_> = (0..5)
        .map(|n| one.changes(&format!("account {n}").as_str().into()))
        .collect();
    wait_for_connections(&server, 1).await;
    sleep(Duration::from_millis(100)).await;
    watchers.iter_mut().for_each(|it| it.mark_unchanged());
    server.kill();
    server.restart().await;
    for watcher in &mut watchers {
        timeout(10 * SECOND, watcher.changed())
            .await
            .expect("notified")
            .expect("there");
        watcher.mark_unchanged();
    }
    let lease = acquire_lease(&other, "account 3", request(0)).await;
    complete(&other, "account 3", completion(lease.generation)).await;
    timeout(SECOND, watchers[3].changed())
        .await
        .expect("notified")
        .expect("there");
}

#[test]
fn a_store_outlives_the_runtime_that_used_it_first() {
    let first = Runtime::new().expect("a runtime");
    let (server, store) = first.block_on(async {
        let server = Server::start().await;
        let store = server.store();
        let _watcher = store.changes(&"me".into());
        acquire_lease(&store, "other", request(0)).await;
        wait_for_connections(&server, 2).await;
        (server, store)
    });
    drop(first);
    let second = Runtime::new().expect("a runtime");
    second.block_on(async {
        acquire_lease(&store, "me", request(0)).await;
        let mut changes = store.changes(&"third".into());
        wait_for_connections(&server, 2).await;
        sleep(Duration::from_millis(100)).await;
        changes.mark_unchanged();
        let other = server.store();
        let lease = acquire_lease(&other, "third", request(0)).await;
        complete(&other, "third", completion(lease.generation)).await;
        timeout(SECOND, changes.changed())
            .await
            .expect("notified")
            .expect("there");
    });
}

/// The snapshot has a refresh token that was handed over later, and may have been sent.
#[tokio::test]
async fn a_server_that_lost_its_last_writes_hands_over_no_refresh_token() {
    let mut server = Server::with("save \"\"\ndbfilename old.rdb\n").await;
    let store = server.store();
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    server.ask::<()>("SAVE").await;
    let renewal = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));
    server.kill();
    server.restart().await;
    assert_eq!(
        acquire_token(&store, "me", 0).await.payload,
        payload("t1"),
        "the snapshot is not there"
    );
    let next = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), None);
    assert!(next.generation > renewal.generation);
    assert!(
        complete(
            &store,
            "me",
            completion_with_tokens(renewal.generation, "t2", "r2")
        )
        .await
    );
}

/// A master that was a replica for a while has again the tokens that it handed over
/// before.
#[tokio::test]
async fn a_master_that_was_a_replica_in_between_hands_over_no_refresh_token() {
    let (first, second) = (Server::start().await, Server::start().await);
    let store = first.store();
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    let follow = async |replica: &Server, master: &Server| {
        let words = format!("REPLICAOF 127.0.0.1 {}", master.port());
        replica.ask::<()>(&words).await;
        until("in step", async || {
            let info: String = replica.ask("INFO replication").await;
            info.contains("master_link_status:up")
        })
        .await;
    };
    follow(&second, &first).await;
    // From here on it does not know that the refresh token was handed over.
    second.ask::<()>("REPLICAOF NO ONE").await;
    // A replica has joined since it was written.
    let lease = acquire_lease(&store, "me", request(lease.generation)).await;
    complete(
        &store,
        "me",
        completion_with_tokens(lease.generation, "t2", "r2"),
    )
    .await;
    second.ask::<()>("FLUSHALL").await;
    follow(&second, &first).await;
    second.ask::<()>("REPLICAOF NO ONE").await;
    let taken = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(refresh_payload(&taken), Some(payload("r2")));
    follow(&first, &second).await;
    first.ask::<()>("REPLICAOF NO ONE").await;
    assert_eq!(acquire_token(&store, "me", 0).await.payload, payload("t2"));
    let next = acquire_lease(&store, "me", request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), None);
}

#[tokio::test]
async fn a_flushed_server_goes_on_with_higher_generations() {
    let server = Server::start().await;
    let store = server.store();
    let mut last = 0;
    for _ in 0..20 {
        let lease = acquire_lease(&store, "me", request(last)).await;
        assert!(lease.generation > last);
        last = lease.generation;
        complete(
            &store,
            "me",
            completion_with_tokens(lease.generation, "t", "r"),
        )
        .await;
        server.ask::<()>("FLUSHALL").await;
        server.ask::<()>("SCRIPT FLUSH").await;
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_behind_gives_no_lower_generation() {
    let server = Server::start().await;
    let store = server.store();
    let now = acquire_lease(&store, "me", request(0)).await.generation;
    server.ask::<()>("FLUSHALL").await;
    let had = now + 60_000;
    let lease = acquire_lease(&store, "me", request(had)).await;
    assert_eq!(lease.generation, had + 1);
    // But not for every number that a process asks with.
    let lease = acquire_lease(&store, "other", request(u64::MAX)).await;
    assert!(lease.generation < now + 60_000);
}

#[tokio::test]
async fn a_fleet_that_loses_its_server_does_not_come_back_in_the_same_moments() {
    // It takes connections and ends them.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let stores: Vec<_> = (0..20)
        .map(|_| RedisStore::builder(url.clone()).key(key(1)).build())
        .map(|store| store.expect("a store"))
        .collect();
    let changes: Vec<_> = stores.iter().map(|it| it.changes(&"me".into())).collect();
    let (start, mut attempts) = (Instant::now(), Vec::new());
    let take = async {
        while let Ok((connection, _)) = listener.accept().await {
            attempts.push(start.elapsed());
            drop(connection);
        }
    };
    let _ = timeout(8 * SECOND, take).await;
    drop(changes);
    // The first pauses are short, and tell nothing.
    attempts.retain(|at| *at > 2 * SECOND);
    let window = SECOND / 5;
    let within = |from: Duration| {
        let until = from + window;
        attempts
            .iter()
            .filter(|at| (from..until).contains(at))
            .count()
    };
    let most = attempts.iter().map(|at| within(*at)).max();
    println!(
        "{} attempts, at most {most:?} within {window:?}",
        attempts.len()
    );
    assert!(attempts.len() >= 20, "{}", attempts.len());
    assert!(most <= Some(attempts.len() / 3), "{most:?}");
}
