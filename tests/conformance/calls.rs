//! Calls of a store, and their arguments.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::store::{
    Account, Acquire, Acquired, Completion, Entry, Lease, Payload, Stored, TokenStore,
};

pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Short, and long enough that a few steps of a real store fit on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_millis(700);

/// Waits until [`SHORT`] is over by the store's clock too.
pub(crate) async fn wait_for_short() {
    sleep(SHORT + Duration::from_millis(20)).await;
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload::from(text.as_bytes().to_vec())
}

/// A payload that is kept for a long time.
pub(crate) fn stored(text: &str) -> Stored {
    Stored::new(payload(text), LONG)
}

/// A request for a newer token, or for a long lease.
pub(crate) fn request(newer_than: u64) -> Acquire {
    let mut acquire = Acquire::default();
    acquire.newer_than = newer_than;
    acquire.lease = LONG;
    acquire
}

pub(crate) fn request_for(newer_than: u64, lease: Duration) -> Acquire {
    let mut acquire = request(newer_than);
    acquire.lease = lease;
    acquire
}

/// A completion that only ends the lease.
pub(crate) fn completion(generation: u64) -> Completion {
    let mut completion = Completion::default();
    completion.generation = generation;
    completion
}

pub(crate) fn completion_with_tokens(generation: u64, token: &str, refresh: &str) -> Completion {
    let mut completion = completion(generation);
    completion.token = Some(stored(token));
    completion.refresh_token = Some(stored(refresh));
    completion
}

pub(crate) fn completion_with_refresh_token(generation: u64, refresh: &str) -> Completion {
    let mut completion = completion(generation);
    completion.refresh_token = Some(stored(refresh));
    completion
}

pub(crate) fn completion_with_failure(generation: u64, text: &str) -> Completion {
    let mut completion = completion(generation);
    completion.failure = Some(stored(text));
    completion
}

/// A request with these credentials.
pub(crate) fn request_by(credentials: u64) -> Acquire {
    let mut acquire = request(0);
    acquire.credentials = credentials;
    acquire
}

/// A failure of these credentials, which applies for this long.
pub(crate) fn completion_with_failure_of(
    credentials: u64,
    (generation, text): (u64, &str),
    ttl: Duration,
) -> Completion {
    let mut completion = completion(generation);
    completion.failure = Some(Stored::new(payload(text), ttl));
    completion.credentials = credentials;
    completion
}

/// Lets these credentials fail.
pub(crate) async fn fail(store: &impl TokenStore, account: &str, credentials: u64, ttl: Duration) {
    let lease = acquire_lease(store, account, request_by(credentials)).await;
    let text = format!("failure of {credentials}");
    let failure = completion_with_failure_of(credentials, (lease.generation, &text), ttl);
    assert!(complete(store, account, failure).await);
}

/// The failure that applies to these credentials, as text.
pub(crate) async fn failure_of(
    store: &impl TokenStore,
    account: &str,
    credentials: u64,
) -> Option<String> {
    let mut request = request_by(credentials);
    request.lease = Duration::ZERO;
    match acquire(store, account, request).await {
        Acquired::Failure(entry) => {
            assert!(!entry.ttl.is_zero() && entry.ttl <= LONG, "{:?}", entry.ttl);
            Some(String::from_utf8(entry.payload.as_bytes().to_vec()).expect("text"))
        }
        _ => None,
    }
}

/// The failure that a lease for these credentials hands over, as text. The lease is
/// ended.
pub(crate) async fn remembered_failure_of(
    store: &impl TokenStore,
    account: &str,
    credentials: u64,
) -> Option<String> {
    let lease = acquire_lease(store, account, request_by(credentials)).await;
    complete(store, account, completion(lease.generation)).await;
    let failure = lease.failure?;
    Some(String::from_utf8(failure.as_bytes().to_vec()).expect("text"))
}

pub(crate) async fn acquire(store: &impl TokenStore, account: &str, acquire: Acquire) -> Acquired {
    store
        .acquire(&account.into(), &acquire)
        .await
        .expect("an answer")
}

pub(crate) async fn acquire_lease(
    store: &impl TokenStore,
    account: &str,
    request: Acquire,
) -> Lease {
    match acquire(store, account, request).await {
        Acquired::Lease(lease) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

/// Has an account's first tokens fetched: a lease, and its end with them.
pub(crate) async fn fetch(
    store: &impl TokenStore,
    account: &str,
    (token, refresh): (&str, &str),
) -> Lease {
    let lease = acquire_lease(store, account, request(0)).await;
    let tokens = completion_with_tokens(lease.generation, token, refresh);
    assert!(complete(store, account, tokens).await, "replaces nothing");
    lease
}

pub(crate) async fn acquire_token(
    store: &impl TokenStore,
    account: &str,
    newer_than: u64,
) -> Entry {
    match acquire(store, account, request(newer_than)).await {
        Acquired::Token(entry) => entry,
        other => panic!("no token: {other:?}"),
    }
}

pub(crate) async fn complete(
    store: &impl TokenStore,
    account: &str,
    completion: Completion,
) -> bool {
    let written = store.complete(&account.into(), &completion).await;
    written.expect("an answer")
}

/// The token of this account, if it has one.
pub(crate) async fn token_of(store: &impl TokenStore, account: &Account) -> Option<Entry> {
    let read = request_for(0, Duration::ZERO);
    match store.acquire(account, &read).await {
        Ok(Acquired::Token(entry)) => Some(entry),
        _ => None,
    }
}

/// The refresh token of a lease, whose time to live is checked.
pub(crate) fn refresh_payload(lease: &Lease) -> Option<Payload> {
    lease.refresh_token.as_ref().map(|stored| {
        assert!(
            !stored.ttl.is_zero() && stored.ttl <= LONG,
            "{:?}",
            stored.ttl
        );
        stored.payload.clone()
    })
}

pub(crate) fn is_busy(acquired: &Acquired, at_most: Duration) -> bool {
    matches!(acquired, Acquired::Busy(left) if *left <= at_most)
}
