//! The store in memory meets the requirements for every store.

mod conformance;

use std::time::Duration;

use tower_bearer::store::{
    Acquire, Acquired, BoxTokenStore, Completion, FAILURE_MEMORY, MemoryStore, Stored, TokenStore,
};

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_does_what_every_store_has_to_do() {
    conformance::all(&MemoryStore::new()).await;
}

/// Shows that the comparison itself reaches all kinds of answer.
#[tokio::test(start_paused = true)]
async fn two_stores_in_memory_answer_the_same() {
    let stores = (&MemoryStore::new(), &MemoryStore::new());
    let kinds = conformance::random::answers_are_the_same(stores, "me", (7, 5_000)).await;
    assert_eq!(kinds, 6, "token, failure, busy, lease, completed and not");
}

#[tokio::test(start_paused = true)]
async fn a_boxed_store_does_what_every_store_has_to_do() {
    conformance::all(&BoxTokenStore::new(MemoryStore::new())).await;
}

/// Fetches for an account through the store. Returns the generation.
async fn fetch(store: &MemoryStore, account: &str, ttl: Duration) -> u64 {
    let mut acquire = Acquire::default();
    acquire.lease = Duration::from_secs(15);
    let acquired = store
        .acquire(&account.into(), &acquire)
        .await
        .expect("a store");
    let Acquired::Lease(lease) = acquired else {
        panic!("no lease: {acquired:?}");
    };
    let mut completion = Completion::of(&lease);
    completion.token = Some(Stored::new(vec![7; 1000], ttl));
    completion.refresh_token = Some(Stored::new(vec![7; 1000], ttl));
    assert!(
        store
            .complete(&account.into(), &completion)
            .await
            .expect("a store")
    );
    lease.generation
}

#[tokio::test(start_paused = true)]
async fn accounts_that_are_gone_are_forgotten_and_no_generation_comes_again() {
    let store = MemoryStore::new();
    let mut highest = 0;
    for _ in 0..3 {
        highest = highest.max(fetch(&store, "me", Duration::from_secs(1)).await);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let mut most = 0;
    for n in 0..50_000 {
        fetch(&store, &format!("tenant {n}"), Duration::from_secs(300)).await;
        most = most.max(store.len());
        // A hundred live at a time.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(most <= 2 * 100 + 64, "{most} accounts");
    let next = fetch(&store, "me", Duration::from_secs(1)).await;
    assert!(next > highest, "{next} after {highest}");
}

#[tokio::test(start_paused = true)]
async fn lifetimes_that_no_clock_reaches_are_kept_as_long_as_possible() {
    let store = MemoryStore::new();
    fetch(&store, "me", Duration::MAX).await;
    let mut acquire = Acquire::default();
    acquire.lease = Duration::MAX;
    let acquired = store
        .acquire(&"you".into(), &acquire)
        .await
        .expect("a store");
    assert!(matches!(acquired, Acquired::Lease(_)));
    let acquired = store
        .acquire(&"me".into(), &acquire)
        .await
        .expect("a store");
    assert!(matches!(acquired, Acquired::Token(_)));
}

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_remembers_a_failure_for_a_day_after_its_time() {
    let store = MemoryStore::new();
    for (account, late, remembered) in [("within", -1, true), ("after", 1, false)] {
        conformance::fail(&store, account, 1, Duration::from_secs(60)).await;
        let seconds = (60 + FAILURE_MEMORY.as_secs()).saturating_add_signed(late);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let failure = conformance::remembered_failure_of(&store, account, 1).await;
        assert_eq!(failure.is_some(), remembered, "{account}");
    }
}

#[tokio::test(start_paused = true)]
async fn lifetimes_near_the_longest_are_no_panic() {
    let store = MemoryStore::new();
    let mut request = conformance::request(0);
    request.lease = Duration::MAX;
    let lease = conformance::acquire_lease(&store, "me", request).await;
    let mut completion = conformance::completion_with_tokens(lease.generation, "t", "r");
    completion.failure = Some(Stored::new(conformance::payload("f"), Duration::MAX));
    for part in [&mut completion.token, &mut completion.refresh_token] {
        part.as_mut().expect("a part").ttl = Duration::from_secs(u64::MAX);
    }
    assert!(conformance::complete(&store, "me", completion).await);
    conformance::acquire_token(&store, "me", 0).await;
    let acquired = conformance::acquire(&store, "me", conformance::request(u64::MAX)).await;
    assert!(matches!(acquired, Acquired::Failure(_)), "{acquired:?}");
}
