//! Files meet the requirements for every store.

use std::time::{Duration, Instant};

use tower_bearer::store::{Acquired, MemoryStore, TokenStore};

use crate::conformance::{
    self, acquire, acquire_lease, acquire_token, complete, completion_with_tokens, fetch, payload,
    request,
};
use crate::place::Place;

#[tokio::test]
async fn files_do_what_every_store_has_to_do() {
    let place = Place::new();
    conformance::all(&place.store()).await;
}

#[tokio::test]
async fn files_answer_as_the_store_in_memory() {
    let place = Place::new();
    let store = place.store();
    let (mut steps, mut most) = (0, 0);
    for seed in 1..=6 {
        let stores = (&MemoryStore::new(), &store);
        let account = format!("account {seed}");
        let kinds = conformance::random::answers_are_the_same(stores, &account, (seed, 300)).await;
        (steps, most) = (steps + 300, most.max(kinds));
    }
    assert_eq!(most, 6, "not all kinds of answer came");
    println!("{steps} random calls answered as by the store in memory");
}

#[tokio::test]
async fn two_stores_in_one_folder_are_one() {
    let place = Place::new();
    let (one, other) = (place.store(), place.store());
    let lease = acquire_lease(&one, "me", request(0)).await;
    let busy = acquire(&other, "me", request(0)).await;
    assert!(matches!(busy, Acquired::Busy(_)), "{busy:?}");
    let tokens = completion_with_tokens(lease.generation, "t1", "r1");
    assert!(complete(&one, "me", tokens).await);
    let entry = acquire_token(&other, "me", 0).await;
    assert_eq!(entry.payload, payload("t1"));
}

#[tokio::test]
async fn the_other_store_is_told_when_the_lease_ends() {
    let place = Place::new();
    let (one, other) = (place.store(), place.store());
    let lease = acquire_lease(&one, "me", request(0)).await;
    let mut changes = other.changes(&"me".into());
    acquire(&other, "me", request(0)).await;
    let start = Instant::now();
    let waiter = tokio::spawn(async move {
        changes.changed().await.expect("told");
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let settled = Instant::now();
    complete(
        &one,
        "me",
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    let told = waiter.await.expect("told");
    assert!(told >= settled, "told after {:?}", told - start);
    println!("told {:?} after the settlement began", told - settled);
}

#[tokio::test]
async fn a_token_is_read_without_a_change_of_any_file() {
    let place = Place::new();
    let store = place.store();
    fetch(&store, "me", ("t1", "r1")).await;
    let before = std::fs::metadata(place.entries()).expect("a file");
    let fresh = place.store();
    acquire_token(&fresh, "me", 0).await;
    let after = std::fs::metadata(place.entries()).expect("a file");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(before.ino(), after.ino());
    assert_eq!(before.mtime_nsec(), after.mtime_nsec());
}

#[tokio::test]
async fn nothing_but_three_files_is_left_of_many_fetches() {
    let place = Place::new();
    let store = place.store();
    for _ in 0..20 {
        let mut newer = request(0);
        newer.newer_than = u64::MAX / 2;
        let lease = acquire_lease(&store, "me", newer).await;
        complete(
            &store,
            "me",
            completion_with_tokens(lease.generation, "t", "r"),
        )
        .await;
    }
    let mut ends: Vec<_> = place.files("");
    ends.sort();
    let ends: Vec<_> = ends.iter().filter_map(|it| it.extension()).collect();
    assert_eq!(ends, ["lock", "tokens"]);
}
