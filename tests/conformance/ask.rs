//! Asking a store, in few words.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::store::{Acquire, Acquired, Completion, Entry, Lease, Payload, TokenStore};

pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Short, and long enough that a few steps of a real store fit on a busy machine.
pub(crate) const SHORT: Duration = Duration::from_millis(700);

/// Waits until what was for a short time is over by the store's clock too.
pub(crate) async fn short_is_over() {
    sleep(SHORT + Duration::from_millis(20)).await;
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload::from(text.as_bytes().to_vec())
}

pub(crate) fn want(newer_than: u64) -> Acquire {
    let mut acquire = Acquire::default();
    acquire.newer_than = newer_than;
    acquire.lease = LONG;
    acquire
}

pub(crate) fn want_for(newer_than: u64, lease: Duration) -> Acquire {
    let mut acquire = want(newer_than);
    acquire.lease = lease;
    acquire
}

pub(crate) fn nothing(generation: u64) -> Completion {
    let mut completion = Completion::default();
    completion.generation = generation;
    completion
}

pub(crate) fn tokens(generation: u64, token: &str, refresh: &str) -> Completion {
    let mut completion = nothing(generation);
    completion.token = Some((payload(token), LONG));
    completion.refresh_token = Some((payload(refresh), LONG));
    completion
}

pub(crate) fn refresh(generation: u64, refresh: &str) -> Completion {
    let mut completion = nothing(generation);
    completion.refresh_token = Some((payload(refresh), LONG));
    completion
}

pub(crate) fn failure(generation: u64, text: &str) -> Completion {
    let mut completion = nothing(generation);
    completion.failure = Some((payload(text), LONG));
    completion
}

pub(crate) async fn acquire(store: &impl TokenStore, account: &str, acquire: Acquire) -> Acquired {
    store.acquire(account, &acquire).await.expect("an answer")
}

pub(crate) async fn leased(store: &impl TokenStore, account: &str, wanted: Acquire) -> Lease {
    match acquire(store, account, wanted).await {
        Acquired::Lease(lease) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

pub(crate) async fn token(store: &impl TokenStore, account: &str, newer_than: u64) -> Entry {
    match acquire(store, account, want(newer_than)).await {
        Acquired::Token(entry) => entry,
        other => panic!("no token: {other:?}"),
    }
}

pub(crate) async fn complete(store: &impl TokenStore, account: &str, what: Completion) -> bool {
    store.complete(account, &what).await.expect("an answer")
}

/// The refresh token of a lease, which is kept no longer than it was said.
pub(crate) fn given(lease: &Lease) -> Option<Payload> {
    lease.refresh_token.as_ref().map(|(payload, left)| {
        assert!(!left.is_zero() && *left <= LONG, "{left:?}");
        payload.clone()
    })
}

pub(crate) fn is_held(acquired: &Acquired, at_most: Duration) -> bool {
    matches!(acquired, Acquired::Busy(left) if *left <= at_most)
}
