//! Redis meets the requirements for every store.

use tower_bearer::store::MemoryStore;

use crate::conformance;
use crate::server::Server;

#[tokio::test]
async fn redis_does_what_every_store_has_to_do() {
    let server = Server::start().await;
    conformance::all(&server.store()).await;
}

#[tokio::test]
async fn redis_answers_as_the_store_in_memory() {
    let server = Server::start().await;
    let store = server.store();
    let (mut steps, mut most) = (0, 0);
    for seed in 1..=20 {
        let stores = (&MemoryStore::new(), &store);
        let account = format!("account {seed}");
        let kinds = conformance::random::answers_are_the_same(stores, &account, (seed, 500)).await;
        (steps, most) = (steps + 500, most.max(kinds));
    }
    assert_eq!(most, 6, "not all kinds of answer came");
    println!("{steps} random calls answered as by the store in memory");
}
