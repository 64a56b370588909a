//! What is asked of every store, of the one in memory.

mod conformance;

use tower_bearer::store::MemoryStore;

#[tokio::test(start_paused = true)]
async fn the_store_in_memory_does_what_is_asked_of_stores() {
    conformance::all(&MemoryStore::new()).await;
}

/// So that the comparison itself is known to reach all answers.
#[tokio::test(start_paused = true)]
async fn two_stores_in_memory_answer_the_same() {
    let stores = (&MemoryStore::new(), &MemoryStore::new());
    let kinds = conformance::random::answers_are_the_same(stores, "me", (7, 5_000)).await;
    assert_eq!(kinds, 6, "token, failed, held, leased, settled and not");
}
