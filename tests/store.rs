//! The store in memory does what every store has to do.

mod conformance;

use tower_bearer::store::MemoryStore;

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
