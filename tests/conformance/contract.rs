//! What every store has to do.

use std::time::Duration;

use tokio::time::timeout;
use tower_bearer::store::{Acquired, TokenStore};

use super::ask::*;

/// All of them, each on an account of its own.
pub(crate) async fn all(store: &impl TokenStore) {
    one_lease_at_a_time(store, "one").await;
    a_claim_for_no_time_only_looks(store, "look").await;
    a_token_is_for_whoever_has_an_older_one(store, "older").await;
    a_refresh_token_is_handed_over_once(store, "once").await;
    a_rejected_token_is_deleted(store, "rejected").await;
    a_failure_holds_until_it_is_pardoned(store, "failure").await;
    a_token_ends_a_failure(store, "ended").await;
    a_lease_ends_by_itself(store, "lease").await;
    what_comes_late_replaces_nothing_newer(store, "late").await;
    what_comes_late_counts_if_nothing_newer_came(store, "counts").await;
    a_refresh_token_is_given_back(store, "back").await;
    a_refresh_token_given_back_replaces_none(store, "none").await;
    only_its_holder_ends_a_lease(store, "holder").await;
    entries_end_with_their_time(store, "time").await;
    entries_of_no_time_are_none(store, "zero").await;
    accounts_have_nothing_in_common(store, "common").await;
    a_change_is_told(store, "told").await;
}

async fn one_lease_at_a_time(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want(0)).await;
    assert_eq!(given(&first), None);
    let second = acquire(store, account, want(0)).await;
    assert!(is_held(&second, LONG), "{second:?}");
    assert!(complete(store, account, nothing(first.generation)).await);
    let third = leased(store, account, want(0)).await;
    assert!(third.generation > first.generation);
}

async fn a_claim_for_no_time_only_looks(store: &impl TokenStore, account: &str) {
    let look = want_for(0, Duration::ZERO);
    let looked = acquire(store, account, look).await;
    assert_eq!(looked, Acquired::Busy(Duration::ZERO));
    let lease = leased(store, account, want(0)).await;
    let looked = acquire(store, account, look).await;
    assert!(is_held(&looked, LONG) && looked != Acquired::Busy(Duration::ZERO));
    complete(store, account, tokens(lease.generation, "t1", "r1")).await;
    let looked = acquire(store, account, look).await;
    assert!(matches!(looked, Acquired::Token(_)), "{looked:?}");
    acquire(store, account, want_for(lease.generation, Duration::ZERO)).await;
    let renewal = leased(store, account, want(lease.generation)).await;
    assert_eq!(given(&renewal), Some(payload("r1")), "taken by a look");
}

async fn a_token_is_for_whoever_has_an_older_one(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    assert!(complete(store, account, tokens(lease.generation, "t1", "r1")).await);
    let entry = token(store, account, lease.generation - 1).await;
    assert_eq!(entry.generation, lease.generation);
    assert_eq!(entry.payload, payload("t1"));
    assert!(!entry.left.is_zero() && entry.left <= LONG);
    let renewal = leased(store, account, want(lease.generation)).await;
    let meanwhile = token(store, account, 0).await;
    assert_eq!(meanwhile.payload, payload("t1"), "lost by a renewal");
    complete(store, account, tokens(renewal.generation, "t2", "r2")).await;
    let entry = token(store, account, lease.generation).await;
    assert_eq!(entry.payload, payload("t2"));
}

async fn a_refresh_token_is_handed_over_once(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    complete(store, account, tokens(lease.generation, "t1", "r1")).await;
    let renewal = leased(store, account, want(lease.generation)).await;
    assert_eq!(given(&renewal), Some(payload("r1")));
    complete(store, account, nothing(renewal.generation)).await;
    let again = leased(store, account, want(lease.generation)).await;
    assert_eq!(given(&again), None);
}

async fn a_rejected_token_is_deleted(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    complete(store, account, tokens(lease.generation, "t1", "r1")).await;
    let mut older = want(lease.generation - 1);
    older.rejected = true;
    let kept = acquire(store, account, older).await;
    assert!(matches!(kept, Acquired::Token(_)), "not the rejected one");
    let mut rejected = want(lease.generation);
    rejected.rejected = true;
    let renewal = leased(store, account, rejected).await;
    assert_eq!(given(&renewal), Some(payload("r1")));
    let other = acquire(store, account, want(0)).await;
    assert!(is_held(&other, LONG), "{other:?}");
}

async fn a_failure_holds_until_it_is_pardoned(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    assert!(complete(store, account, failure(lease.generation, "no")).await);
    match acquire(store, account, want(0)).await {
        Acquired::Failure(entry) => {
            assert_eq!(entry.payload, payload("no"));
            assert_eq!(entry.generation, lease.generation);
            assert!(!entry.left.is_zero() && entry.left <= LONG);
        }
        other => panic!("no failure: {other:?}"),
    }
    let mut ignore_failure = want(0);
    ignore_failure.ignore_failure = true;
    let next = leased(store, account, ignore_failure).await;
    complete(store, account, nothing(next.generation)).await;
    leased(store, account, want(0)).await;
}

async fn a_token_ends_a_failure(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    complete(store, account, failure(lease.generation, "no")).await;
    complete(store, account, tokens(lease.generation, "t1", "r1")).await;
    leased(store, account, want(lease.generation)).await;
}

async fn a_lease_ends_by_itself(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want_for(0, SHORT)).await;
    let held = acquire(store, account, want(0)).await;
    assert!(is_held(&held, SHORT), "{held:?}");
    short_is_over().await;
    let second = leased(store, account, want(0)).await;
    assert!(second.generation > first.generation);
}

async fn what_comes_late_replaces_nothing_newer(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want_for(0, SHORT)).await;
    short_is_over().await;
    let second = leased(store, account, want(0)).await;
    assert!(complete(store, account, tokens(second.generation, "t2", "r2")).await);
    assert!(!complete(store, account, tokens(first.generation, "t1", "r1")).await);
    assert!(!complete(store, account, failure(first.generation, "no")).await);
    assert!(!complete(store, account, refresh(first.generation, "r1")).await);
    assert_eq!(token(store, account, 0).await.payload, payload("t2"));
    let renewal = leased(store, account, want(second.generation)).await;
    assert_eq!(given(&renewal), Some(payload("r2")));
    assert!(!complete(store, account, refresh(first.generation, "r1")).await);
    complete(store, account, nothing(renewal.generation)).await;
    let renewal = leased(store, account, want(second.generation)).await;
    assert_eq!(given(&renewal), None);
}

async fn what_comes_late_counts_if_nothing_newer_came(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want_for(0, SHORT)).await;
    short_is_over().await;
    let second = leased(store, account, want(0)).await;
    assert!(complete(store, account, tokens(first.generation, "t1", "r1")).await);
    let other = acquire(store, account, want(first.generation)).await;
    assert!(is_held(&other, LONG), "another's lease ended: {other:?}");
    assert!(complete(store, account, tokens(second.generation, "t2", "r2")).await);
    assert_eq!(token(store, account, 0).await.payload, payload("t2"));
}

async fn a_refresh_token_is_given_back(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    complete(store, account, tokens(lease.generation, "t1", "r1")).await;
    let renewal = leased(store, account, want(lease.generation)).await;
    assert!(complete(store, account, refresh(renewal.generation, "r1")).await);
    assert_eq!(token(store, account, 0).await.payload, payload("t1"));
    let again = leased(store, account, want(lease.generation)).await;
    assert_eq!(given(&again), Some(payload("r1")));
}

async fn a_refresh_token_given_back_replaces_none(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want_for(0, SHORT)).await;
    short_is_over().await;
    let second = leased(store, account, want_for(0, SHORT)).await;
    complete(store, account, tokens(first.generation, "t1", "r1")).await;
    assert!(complete(store, account, refresh(second.generation, "r0")).await);
    let renewal = leased(store, account, want(first.generation)).await;
    assert_eq!(given(&renewal), Some(payload("r1")));
}

async fn only_its_holder_ends_a_lease(store: &impl TokenStore, account: &str) {
    let first = leased(store, account, want_for(0, SHORT)).await;
    short_is_over().await;
    let second = leased(store, account, want(0)).await;
    complete(store, account, nothing(first.generation)).await;
    let other = acquire(store, account, want(0)).await;
    assert!(is_held(&other, LONG), "{other:?}");
    complete(store, account, nothing(second.generation)).await;
    leased(store, account, want(0)).await;
}

async fn entries_end_with_their_time(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    let mut short = tokens(lease.generation, "t1", "r1");
    for part in [&mut short.token, &mut short.refresh_token] {
        part.as_mut().expect("a part").1 = SHORT;
    }
    complete(store, account, short).await;
    let left = token(store, account, 0).await.left;
    assert!(left <= SHORT, "{left:?}");
    short_is_over().await;
    let next = leased(store, account, want(0)).await;
    assert_eq!(given(&next), None);
    let mut short = failure(next.generation, "no");
    short.failure.as_mut().expect("a part").1 = SHORT;
    complete(store, account, short).await;
    short_is_over().await;
    leased(store, account, want(0)).await;
}

async fn entries_of_no_time_are_none(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    let mut none = tokens(lease.generation, "t1", "r1");
    none.token.as_mut().expect("a part").1 = Duration::ZERO;
    none.refresh_token.as_mut().expect("a part").1 = Duration::ZERO;
    assert!(complete(store, account, none).await);
    let next = leased(store, account, want(0)).await;
    assert_eq!(given(&next), None);
}

async fn accounts_have_nothing_in_common(store: &impl TokenStore, account: &str) {
    let others = ["{common}", "common:token", "", "}", "ünïcödé ☃", "common "];
    let lease = leased(store, account, want(0)).await;
    complete(store, account, tokens(lease.generation, "t", "r")).await;
    for other in others {
        let lease = leased(store, other, want(0)).await;
        assert_eq!(given(&lease), None, "{other}");
        complete(store, other, tokens(lease.generation, other, "r")).await;
    }
    for other in others {
        assert_eq!(token(store, other, 0).await.payload, payload(other));
    }
    assert_eq!(token(store, account, 0).await.payload, payload("t"));
}

async fn a_change_is_told(store: &impl TokenStore, account: &str) {
    let lease = leased(store, account, want(0)).await;
    let mut changes = store.changes(account);
    complete(store, account, tokens(lease.generation, "t", "r")).await;
    timeout(LONG, changes.changed())
        .await
        .expect("told in time")
        .expect("the store is there");
}
