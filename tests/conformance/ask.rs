//! Asking a store, in few words.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::store::{Claim, Claimed, Entry, Lease, Payload, Settlement, TokenStore};

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

pub(crate) fn want(newer_than: u64) -> Claim {
    let mut claim = Claim::default();
    claim.newer_than = newer_than;
    claim.lease = LONG;
    claim
}

pub(crate) fn want_for(newer_than: u64, lease: Duration) -> Claim {
    let mut claim = want(newer_than);
    claim.lease = lease;
    claim
}

pub(crate) fn nothing(generation: u64) -> Settlement {
    let mut settlement = Settlement::default();
    settlement.generation = generation;
    settlement
}

pub(crate) fn tokens(generation: u64, token: &str, refresh: &str) -> Settlement {
    let mut settlement = nothing(generation);
    settlement.token = Some((payload(token), LONG));
    settlement.refresh_token = Some((payload(refresh), LONG));
    settlement
}

pub(crate) fn refresh(generation: u64, refresh: &str) -> Settlement {
    let mut settlement = nothing(generation);
    settlement.refresh_token = Some((payload(refresh), LONG));
    settlement
}

pub(crate) fn failure(generation: u64, text: &str) -> Settlement {
    let mut settlement = nothing(generation);
    settlement.failure = Some((payload(text), LONG));
    settlement
}

pub(crate) async fn claim(store: &impl TokenStore, account: &str, claim: Claim) -> Claimed {
    store.claim(account, &claim).await.expect("an answer")
}

pub(crate) async fn leased(store: &impl TokenStore, account: &str, wanted: Claim) -> Lease {
    match claim(store, account, wanted).await {
        Claimed::Leased(lease) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

pub(crate) async fn token(store: &impl TokenStore, account: &str, newer_than: u64) -> Entry {
    match claim(store, account, want(newer_than)).await {
        Claimed::Token(entry) => entry,
        other => panic!("no token: {other:?}"),
    }
}

pub(crate) async fn settle(store: &impl TokenStore, account: &str, what: Settlement) -> bool {
    store.settle(account, &what).await.expect("an answer")
}

/// The refresh token of a lease, which is kept no longer than it was said.
pub(crate) fn given(lease: &Lease) -> Option<Payload> {
    lease.refresh_token.as_ref().map(|(payload, left)| {
        assert!(!left.is_zero() && *left <= LONG, "{left:?}");
        payload.clone()
    })
}

pub(crate) fn is_held(claimed: &Claimed, at_most: Duration) -> bool {
    matches!(claimed, Claimed::Held(left) if *left <= at_most)
}
