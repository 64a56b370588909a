//! Files that were truncated, changed, swapped or restored.

use std::fs;
use std::path::Path;

use tower_bearer::store::{Account, Acquired, StoreWarning, TokenStore};

use crate::conformance::{
    acquire, acquire_lease, acquire_token, complete, completion_with_tokens, payload,
    refresh_payload, request,
};
use crate::place::{Place, mode};

/// Writes tokens for the account, and returns their generation.
async fn write(place: &Place, account: &str, (token, refresh): (&str, &str)) -> u64 {
    let store = place.store();
    let mut newer = request(0);
    newer.newer_than = u64::MAX / 2;
    let lease = acquire_lease(&store, account, newer).await;
    complete(
        &store,
        account,
        completion_with_tokens(lease.generation, token, refresh),
    )
    .await;
    lease.generation
}

/// Puts these bytes into the file, as its owner could.
fn put(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("written");
    assert_eq!(mode(file), 0o600);
}

/// Another fetch begins, without a refresh token, as in an empty store.
async fn is_as_empty(place: &Place, account: &str, what: &str) {
    match place.store().acquire(&account.into(), &request(0)).await {
        Ok(Acquired::Lease(lease)) => {
            assert_eq!(lease.refresh_token, None, "{what}");
            assert_eq!(lease.failure, None, "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_was_cut_or_changed_at_any_byte_is_as_none() {
    let place = Place::new();
    write(&place, "me", ("t1", "r1")).await;
    let file = place.entries();
    let whole = fs::read(&file).expect("a file");
    // Where the account is for others that share its name.
    let sealed_account = 4 + 4..4 + 4 + 33 + 8 + 2 + 16;
    let mut kept = 0;
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        for (what, bytes) in [("cut", &whole[..at]), ("flipped", &flipped)] {
            put(&file, bytes);
            let what = format!("{what} at {at}");
            if sealed_account.contains(&at) && what.starts_with("flipped") {
                let entry = acquire_token(&place.store(), "me", 0).await;
                assert_eq!(entry.payload, payload("t1"), "{what}");
                kept += 1;
                continue;
            }
            is_as_empty(&place, "me", &what).await;
        }
    }
    assert_eq!(kept, sealed_account.len());
    println!("{} bytes, each cut and flipped", whole.len());
}

#[tokio::test]
async fn another_format_a_long_file_and_an_empty_one_are_as_none() {
    let place = Place::new();
    for bytes in [
        Vec::new(),
        b"tbf0 of an older version".to_vec(),
        b"tbf1".to_vec(),
        b"{\"token\":\"t\"}".to_vec(),
        vec![b'x'; 3 * 1024 * 1024],
    ] {
        write(&place, "me", ("t1", "r1")).await;
        put(&place.entries(), &bytes);
        is_as_empty(&place, "me", "garbage").await;
        fs::remove_dir_all(place.folder()).expect("removed");
    }
}

#[tokio::test]
async fn a_file_of_another_account_or_holder_is_as_none() {
    let place = Place::new();
    write(&place, "other", ("t2", "r2")).await;
    let others = place.entries();
    let swapped = fs::read(&others).expect("a file");
    for account in ["me", "OTHER"] {
        fs::remove_dir_all(place.folder()).expect("removed");
        write(&place, account, ("t1", "r1")).await;
        put(&place.entries(), &swapped);
        is_as_empty(&place, account, account).await;
    }
    // The same name, held by another.
    fs::remove_dir_all(place.folder()).expect("removed");
    let held = Account::new("other").held_by("https://id.example.com/token");
    let store = place.store();
    let Ok(Acquired::Lease(lease)) = store.acquire(&held, &request(0)).await else {
        panic!("no lease");
    };
    let tokens = completion_with_tokens(lease.generation, "t1", "r1");
    store.complete(&held, &tokens).await.expect("written");
    put(&place.entries(), &swapped);
    let acquired = store.acquire(&held, &request(0)).await.expect("an answer");
    assert!(matches!(acquired, Acquired::Lease(_)), "{acquired:?}");
}

#[tokio::test]
async fn a_copy_that_is_put_back_hands_over_no_refresh_token() {
    let place = Place::new();
    let generation = write(&place, "me", ("t1", "r1")).await;
    let file = place.entries();
    let copy = fs::read(&file).expect("a file");
    let renewal = acquire_lease(&place.store(), "me", request(generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));

    // From a backup, which creates a new file.
    fs::remove_file(&file).expect("removed");
    let restored = file.with_extension("backup");
    put_new(&restored, &copy);
    fs::rename(&restored, &file).expect("moved");
    let entry = acquire_token(&place.store(), "me", 0).await;
    assert_eq!(
        entry.payload,
        payload("t1"),
        "the access token is as good as before"
    );
    let again = acquire_lease(&place.store(), "me", request(generation)).await;
    assert_eq!(refresh_payload(&again), None, "handed over twice");
}

fn put_new(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).expect("written");
    crate::place::set_mode(file, 0o600);
}

#[tokio::test]
async fn what_was_sealed_with_another_key_is_as_none_and_told() {
    let place = Place::new();
    write(&place, "me", ("t1", "r1")).await;
    let other = place.store_with(2);
    let lease = acquire_lease(&other, "me", request(0)).await;
    assert_eq!(lease.refresh_token, None);
    let warning = other.warning(&"me".into());
    assert_eq!(warning, Some(StoreWarning::UnknownKey));
    complete(
        &other,
        "me",
        completion_with_tokens(lease.generation, "t2", "r2"),
    )
    .await;
    let own = acquire_token(&other, "me", 0).await;
    assert_eq!(own.payload, payload("t2"));
    let acquired = acquire(&place.store(), "me", request(0)).await;
    assert!(matches!(acquired, Acquired::Lease(_)), "{acquired:?}");
}

#[tokio::test]
async fn a_folder_that_is_emptied_is_filled_again() {
    let place = Place::new();
    let store = place.store();
    let first = acquire_lease(&store, "me", request(0)).await;
    fs::remove_dir_all(place.folder()).expect("removed");
    assert!(
        complete(
            &store,
            "me",
            completion_with_tokens(first.generation, "t1", "r1")
        )
        .await
    );
    fs::remove_dir_all(place.folder()).expect("removed");
    let second = acquire_lease(&store, "me", request(0)).await;
    assert!(second.generation > first.generation);
    assert!(
        complete(
            &store,
            "me",
            completion_with_tokens(second.generation, "t2", "r2")
        )
        .await
    );
    acquire_token(&place.store(), "me", 0).await;
}
