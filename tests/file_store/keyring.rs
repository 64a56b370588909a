//! A key in the platform's keyring.

use std::sync::Arc;

use keyring_core::{Entry, mock, set_default_store};
use tower_bearer::store::{FileStore, TokenStore};

use crate::conformance::{acquire_token, fetch, request};
use crate::place::Place;

fn store(place: &Place) -> FileStore {
    let store = FileStore::folder(place.folder()).keyring("my-tool", "store");
    store.build().expect("a store")
}

async fn error_of(store: &FileStore) -> String {
    let error = store.acquire(&"me".into(), &request(0)).await;
    let error = error.expect_err("no key");
    let cause = error.source().map(ToString::to_string);
    cause.unwrap_or_else(|| error.to_string())
}

/// One test, for a process has one keyring.
#[tokio::test]
async fn the_key_is_made_once_and_read_from_then_on() {
    let place = Place::new();
    assert!(error_of(&store(&place)).await.contains("set_default_store"));

    let keyring = mock::Store::new().expect("a keyring");
    set_default_store(Arc::clone(&keyring) as _);
    // Each is another process, as far as the key goes.
    let stores: Vec<_> = (0..8).map(|_| store(&place)).collect();
    let accounts = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut tasks = tokio::task::JoinSet::new();
    for (store, account) in stores.iter().cloned().zip(accounts) {
        tasks.spawn(async move {
            fetch(&store, account, (account, "refresh")).await;
        });
    }
    tasks.join_all().await;
    for store in &stores {
        for account in accounts {
            let token = acquire_token(store, account, 0).await;
            assert_eq!(token.payload.as_bytes(), account.as_bytes());
        }
    }

    let entry = Entry::new("my-tool", "store").expect("an entry");
    let text = entry.get_password().expect("a key");
    assert_eq!(text.len(), 44, "32 bytes in base64");

    let secret = "no key at all, but a secret";
    entry.set_password(secret).expect("set");
    let error = error_of(&store(&place)).await;
    assert!(
        error.contains("32 bytes") && !error.contains(secret),
        "{error}"
    );
}
