//! Leases whose holder has ended or was stopped, and locks that stay.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tower_bearer::store::{Acquired, TokenStore};

use crate::conformance::{
    acquire, acquire_lease, acquire_token, complete, completion, completion_with_tokens, fetch,
    refresh_payload, request,
};
use crate::place::Place;

#[tokio::test]
async fn a_lease_ends_with_its_holder() {
    let place = Place::new();
    let (one, other) = (place.store(), place.store());
    let lease = fetch(&one, "me", ("t1", "r1")).await;
    let renewal = acquire_lease(&one, "me", request(lease.generation)).await;
    assert!(refresh_payload(&renewal).is_some());
    let mut changes = other.changes(&"me".into());
    let busy = acquire(&other, "me", request(lease.generation)).await;
    assert!(
        matches!(busy, Acquired::Busy(left) if left > Duration::from_secs(50)),
        "{busy:?}"
    );
    // As if its process were killed: the system closes its files.
    drop(one);
    changes.changed().await.expect("told");
    let next = acquire_lease(&other, "me", request(lease.generation)).await;
    assert!(next.generation > renewal.generation);
    assert_eq!(
        next.refresh_token, None,
        "sent by the one that is gone, perhaps"
    );
}

#[tokio::test]
async fn a_stopped_holder_is_followed_after_its_lease_and_ends_nothing_later() {
    let place = Place::new();
    let (one, other) = (place.store(), place.store());
    let mut short = request(0);
    short.lease = Duration::from_millis(700);
    let first = acquire_lease(&one, "me", short).await;
    let busy = acquire(&other, "me", request(0)).await;
    assert!(matches!(busy, Acquired::Busy(_)), "{busy:?}");
    tokio::time::sleep(Duration::from_millis(720)).await;
    let second = acquire_lease(&other, "me", request(0)).await;
    // It continues, with nothing to complete, and then with what it fetched.
    complete(&one, "me", completion(first.generation)).await;
    let busy = acquire(&one, "me", request(0)).await;
    assert!(matches!(busy, Acquired::Busy(_)), "{busy:?}");
    complete(
        &other,
        "me",
        completion_with_tokens(second.generation, "t2", "r2"),
    )
    .await;
    let late = completion_with_tokens(first.generation, "t1", "r1");
    assert!(!complete(&one, "me", late).await, "replaced a newer one");
    acquire_token(&other, "me", first.generation).await;
}

#[tokio::test]
async fn a_lock_that_stays_is_an_error_and_no_thread_waits_for_ever() {
    let place = Place::new();
    let store = place.store();
    let lease = fetch(&store, "me", ("t1", "r1")).await;
    let file = File::options()
        .write(true)
        .open(&place.files(".lock")[0])
        .expect("a file");
    flock(&file, FlockOperation::LockExclusive).expect("locked");
    // A token that is there is read nevertheless.
    acquire_token(&store, "me", 0).await;
    let start = Instant::now();
    let renewal = request(lease.generation);
    let error = store
        .acquire(&"me".into(), &renewal)
        .await
        .expect_err("locked");
    assert!(
        error.to_string().contains("locked by another process"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(8));
    // A caller that leaves earlier leaves no lease behind.
    let me = "me".into();
    let call = tokio::time::timeout(Duration::from_millis(100), store.acquire(&me, &renewal));
    assert!(call.await.is_err());
    drop(file);
    let next = acquire_lease(&store, "me", renewal).await;
    assert!(refresh_payload(&next).is_some());
}

#[tokio::test]
async fn a_runtime_ends_at_once_though_a_lease_is_waited_for() {
    let place = Place::new();
    let one = place.store();
    acquire_lease(&one, "me", request(0)).await;
    let other = place.store();
    let ended = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let busy = runtime.block_on(other.acquire(&"me".into(), &request(0)));
        assert!(matches!(busy, Ok(Acquired::Busy(_))), "{busy:?}");
        let start = Instant::now();
        drop(runtime);
        start.elapsed()
    });
    assert!(ended.await.expect("ended") < Duration::from_secs(2));
}
