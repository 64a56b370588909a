//! The warnings of a store to an operator.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::TokenCache;
use tower_bearer::store::{RedisStore, StoreWarning, TokenStore};
use tower_bearer::testing::TokenServer;

use crate::conformance::{acquire, fetch, request};
use crate::server::{Server, key, until};

#[tokio::test]
async fn keys_that_nobody_shares_are_told() {
    let server = Server::start().await;
    let stores = [1, 2].map(|byte| {
        let store = RedisStore::builder(server.url()).key(key(byte));
        store.build().expect("a store")
    });
    for round in 0..2 {
        for store in &stores {
            fetch(store, "me", ("t", "r")).await;
            acquire(store, "me", request(0)).await;
        }
        let told = stores.each_ref().map(|it| it.warning(&"me".into()));
        let unknown = Some(StoreWarning::UnknownKey);
        assert_eq!(told[1], unknown);
        assert_eq!(told[0].is_some(), round > 0);
    }
    // With a key in common all is well.
    let both = RedisStore::builder(server.url()).key(key(2)).key(key(1));
    let both = both.build().expect("a store");
    acquire(&both, "me", request(0)).await;
    assert_eq!(both.warning(&"me".into()), None);
}

#[tokio::test]
async fn a_password_that_was_changed_is_told() {
    let server = Server::with("user app on >s3cret ~* &* +@all\n").await;
    let url = format!("redis://app:s3cret@127.0.0.1:{}", server.port());
    let store = RedisStore::builder(url)
        .key(key(1))
        .build()
        .expect("a store");
    let issuer = TokenServer::builder().in_process();
    let cache = TokenCache::builder(issuer.grant()).store(store, "me");
    let cache = cache.build().expect("a cache");
    cache.token().await.expect("a token");
    assert_eq!(cache.status().store_warning, None);
    server.ask::<()>("ACL SETUSER app resetpass >0ther").await;
    server.ask::<()>("CLIENT KILL USER app").await;
    until("told", async || {
        cache.invalidate();
        cache.token().await.expect("a token");
        sleep(Duration::from_millis(200)).await;
        let status = cache.status();
        status.store_warning == Some(StoreWarning::AccessDenied) && status.store_error.is_some()
    })
    .await;
    server.ask::<()>("ACL SETUSER app resetpass >s3cret").await;
    until("well again", async || {
        cache.invalidate();
        cache.token().await.expect("a token");
        cache.status().store_warning.is_none()
    })
    .await;
}
