//! The requirements for every store, as tests.

use std::time::Duration;

use tokio::time::timeout;
use tower_bearer::store::{
    Account, Acquire, Acquired, Completion, FAILURES_KEPT, StoreWarning, Stored, TokenStore,
};

use super::calls::*;

/// Runs all of them, each on its own account.
pub(crate) async fn all(store: &impl TokenStore) {
    one_lease_at_a_time(store, "one").await;
    a_request_for_no_lease_only_reads(store, "read").await;
    a_token_is_for_those_who_have_an_older_one(store, "older").await;
    a_refresh_token_is_handed_over_once(store, "once").await;
    a_rejected_token_is_deleted(store, "rejected").await;
    a_failure_applies_until_it_is_ignored(store, "failure").await;
    a_token_ends_a_failure(store, "ended").await;
    credentials_never_touch_the_failure_of_others(store, "others").await;
    a_failure_is_remembered_after_its_time(store, "remembered").await;
    the_failures_of_eight_credentials_are_kept(store, "eight").await;
    a_lease_expires(store, "lease").await;
    a_late_completion_replaces_nothing_newer(store, "late").await;
    a_late_completion_counts_if_nothing_newer_was_written(store, "counts").await;
    a_refresh_token_is_returned(store, "returned").await;
    a_returned_refresh_token_replaces_none(store, "none").await;
    only_its_holder_ends_a_lease(store, "holder").await;
    entries_expire(store, "time").await;
    entries_with_a_ttl_of_zero_are_absent(store, "zero").await;
    a_withdrawn_lease_ends_and_its_refresh_token_is_kept(store, "withdrawn").await;
    a_withdrawn_request_that_comes_late_begins_no_lease(store, "too late").await;
    only_its_own_request_is_withdrawn(store, "own").await;
    lives_count_from_the_start_of_the_lease(store, "lives").await;
    holders_of_one_name_share_nothing_and_are_told(store, "name").await;
    accounts_share_nothing(store, "common").await;
    a_change_is_notified(store, "change").await;
}

async fn one_lease_at_a_time(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request(0)).await;
    assert_eq!(refresh_payload(&first), None);
    let second = acquire(store, account, request(0)).await;
    assert!(is_busy(&second, LONG), "{second:?}");
    assert!(complete(store, account, completion(first.generation)).await);
    let third = acquire_lease(store, account, request(0)).await;
    assert!(third.generation > first.generation);
}

async fn a_request_for_no_lease_only_reads(store: &impl TokenStore, account: &str) {
    let read = request_for(0, Duration::ZERO);
    let acquired = acquire(store, account, read).await;
    assert_eq!(acquired, Acquired::Busy(Duration::ZERO));
    let lease = acquire_lease(store, account, request(0)).await;
    let acquired = acquire(store, account, read).await;
    assert!(is_busy(&acquired, LONG) && acquired != Acquired::Busy(Duration::ZERO));
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    let acquired = acquire(store, account, read).await;
    assert!(matches!(acquired, Acquired::Token(_)), "{acquired:?}");
    acquire(
        store,
        account,
        request_for(lease.generation, Duration::ZERO),
    )
    .await;
    let renewal = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(
        refresh_payload(&renewal),
        Some(payload("r1")),
        "taken by a read"
    );
}

async fn a_token_is_for_those_who_have_an_older_one(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_tokens(lease.generation, "t1", "r1")
        )
        .await
    );
    let entry = acquire_token(store, account, lease.generation - 1).await;
    assert_eq!(entry.generation, lease.generation);
    assert_eq!(entry.payload, payload("t1"));
    assert!(!entry.ttl.is_zero() && entry.ttl <= LONG);
    let renewal = acquire_lease(store, account, request(lease.generation)).await;
    let meanwhile = acquire_token(store, account, 0).await;
    assert_eq!(meanwhile.payload, payload("t1"), "lost by a renewal");
    complete(
        store,
        account,
        completion_with_tokens(renewal.generation, "t2", "r2"),
    )
    .await;
    let entry = acquire_token(store, account, lease.generation).await;
    assert_eq!(entry.payload, payload("t2"));
}

async fn a_refresh_token_is_handed_over_once(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    let renewal = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));
    complete(store, account, completion(renewal.generation)).await;
    let again = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(refresh_payload(&again), None);
}

async fn a_rejected_token_is_deleted(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    let mut older = request(lease.generation - 1);
    older.rejected = true;
    let kept = acquire(store, account, older).await;
    assert!(matches!(kept, Acquired::Token(_)), "not the rejected one");
    let mut rejected = request(lease.generation);
    rejected.rejected = true;
    let renewal = acquire_lease(store, account, rejected).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));
    let other = acquire(store, account, request(0)).await;
    assert!(is_busy(&other, LONG), "{other:?}");
}

async fn a_failure_applies_until_it_is_ignored(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_failure(lease.generation, "no")
        )
        .await
    );
    match acquire(store, account, request(0)).await {
        Acquired::Failure(entry) => {
            assert_eq!(entry.payload, payload("no"));
            assert_eq!(entry.generation, lease.generation);
            assert!(!entry.ttl.is_zero() && entry.ttl <= LONG);
        }
        other => panic!("no failure: {other:?}"),
    }
    let mut ignore_failure = request(0);
    ignore_failure.ignore_failure = true;
    let next = acquire_lease(store, account, ignore_failure).await;
    complete(store, account, completion(next.generation)).await;
    acquire_lease(store, account, request(0)).await;
}

async fn a_token_ends_a_failure(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    complete(
        store,
        account,
        completion_with_failure(lease.generation, "no"),
    )
    .await;
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    acquire_lease(store, account, request(lease.generation)).await;
}

async fn credentials_never_touch_the_failure_of_others(store: &impl TokenStore, account: &str) {
    fail(store, account, 1, LONG).await;
    fail(store, account, u64::MAX, LONG).await;
    for credentials in [1, u64::MAX] {
        let failure = failure_of(store, account, credentials).await;
        assert_eq!(failure, Some(format!("failure of {credentials}")));
    }
    assert_eq!(failure_of(store, account, 0).await, None);
    assert_eq!(failure_of(store, account, 2).await, None);

    // Ignored by one, it still applies to the other.
    let mut ignored = request_by(1);
    ignored.ignore_failure = true;
    let lease = acquire_lease(store, account, ignored).await;
    assert_eq!(lease.failure, None);
    complete(store, account, completion(lease.generation)).await;
    assert_eq!(failure_of(store, account, 1).await, None);
    assert!(failure_of(store, account, u64::MAX).await.is_some());

    // Nor does another's token end it.
    let lease = acquire_lease(store, account, request_by(1)).await;
    let mut tokens = completion_with_tokens(lease.generation, "t1", "r1");
    tokens.credentials = 1;
    assert!(complete(store, account, tokens).await);
    let mut renewal = request_by(u64::MAX);
    renewal.newer_than = lease.generation;
    let blocked = acquire(store, account, renewal).await;
    assert!(matches!(blocked, Acquired::Failure(_)), "{blocked:?}");
}

async fn a_failure_is_remembered_after_its_time(store: &impl TokenStore, account: &str) {
    fail(store, account, 1, SHORT).await;
    let first = Some("failure of 1".to_owned());
    assert_eq!(failure_of(store, account, 1).await, first);
    wait_for_short().await;
    assert_eq!(failure_of(store, account, 1).await, None);
    for _ in 0..2 {
        assert_eq!(remembered_failure_of(store, account, 1).await, first);
    }
    assert_eq!(remembered_failure_of(store, account, 2).await, None);

    // The next one replaces it, and a time of zero deletes it.
    let lease = acquire_lease(store, account, request_by(1)).await;
    let failure = completion_with_failure_of(1, (lease.generation, "second"), SHORT);
    complete(store, account, failure).await;
    wait_for_short().await;
    let second = Some("second".to_owned());
    assert_eq!(remembered_failure_of(store, account, 1).await, second);
    let lease = acquire_lease(store, account, request_by(1)).await;
    let failure = completion_with_failure_of(1, (lease.generation, "third"), Duration::ZERO);
    complete(store, account, failure).await;
    assert_eq!(remembered_failure_of(store, account, 1).await, None);

    // So do a process that ignores it, and a token of the same credentials.
    fail(store, account, 1, SHORT).await;
    wait_for_short().await;
    let mut ignored = request_by(1);
    ignored.ignore_failure = true;
    let lease = acquire_lease(store, account, ignored).await;
    assert_eq!(lease.failure, None);
    complete(store, account, completion(lease.generation)).await;
    assert_eq!(remembered_failure_of(store, account, 1).await, None);
    fail(store, account, 1, SHORT).await;
    wait_for_short().await;
    let lease = acquire_lease(store, account, request_by(1)).await;
    let mut tokens = completion_with_tokens(lease.generation, "t1", "r1");
    tokens.credentials = 1;
    complete(store, account, tokens).await;
    let mut renewal = request_by(1);
    renewal.newer_than = lease.generation;
    let lease = acquire_lease(store, account, renewal).await;
    assert_eq!(lease.failure, None);
}

async fn the_failures_of_eight_credentials_are_kept(store: &impl TokenStore, account: &str) {
    let kept = FAILURES_KEPT as u64;
    for credentials in 1..=kept {
        fail(store, account, credentials, LONG).await;
    }
    // Written again, the first one is the newest.
    let mut ignored = request_by(1);
    ignored.ignore_failure = true;
    let lease = acquire_lease(store, account, ignored).await;
    let again = completion_with_failure_of(1, (lease.generation, "again"), LONG);
    complete(store, account, again).await;
    for credentials in 1..=kept {
        let failure = failure_of(store, account, credentials).await;
        assert!(failure.is_some(), "{credentials}");
    }
    fail(store, account, kept + 1, LONG).await;
    for credentials in 1..=kept + 1 {
        let failure = failure_of(store, account, credentials).await;
        assert_eq!(failure.is_some(), credentials != 2, "{credentials}");
    }
}

async fn a_lease_expires(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request_for(0, SHORT)).await;
    let held = acquire(store, account, request(0)).await;
    assert!(is_busy(&held, SHORT), "{held:?}");
    wait_for_short().await;
    let second = acquire_lease(store, account, request(0)).await;
    assert!(second.generation > first.generation);
}

async fn a_late_completion_replaces_nothing_newer(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request_for(0, SHORT)).await;
    wait_for_short().await;
    let second = acquire_lease(store, account, request(0)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_tokens(second.generation, "t2", "r2")
        )
        .await
    );
    assert!(
        !complete(
            store,
            account,
            completion_with_tokens(first.generation, "t1", "r1")
        )
        .await
    );
    assert!(
        !complete(
            store,
            account,
            completion_with_failure(first.generation, "no")
        )
        .await
    );
    assert!(
        !complete(
            store,
            account,
            completion_with_refresh_token(first.generation, "r1")
        )
        .await
    );
    assert_eq!(
        acquire_token(store, account, 0).await.payload,
        payload("t2")
    );
    let renewal = acquire_lease(store, account, request(second.generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r2")));
    assert!(
        !complete(
            store,
            account,
            completion_with_refresh_token(first.generation, "r1")
        )
        .await
    );
    complete(store, account, completion(renewal.generation)).await;
    let renewal = acquire_lease(store, account, request(second.generation)).await;
    assert_eq!(refresh_payload(&renewal), None);
}

async fn a_late_completion_counts_if_nothing_newer_was_written(
    store: &impl TokenStore,
    account: &str,
) {
    let first = acquire_lease(store, account, request_for(0, SHORT)).await;
    wait_for_short().await;
    let second = acquire_lease(store, account, request(0)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_tokens(first.generation, "t1", "r1")
        )
        .await
    );
    let other = acquire(store, account, request(first.generation)).await;
    assert!(is_busy(&other, LONG), "another's lease ended: {other:?}");
    assert!(
        complete(
            store,
            account,
            completion_with_tokens(second.generation, "t2", "r2")
        )
        .await
    );
    assert_eq!(
        acquire_token(store, account, 0).await.payload,
        payload("t2")
    );
}

async fn a_refresh_token_is_returned(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t1", "r1"),
    )
    .await;
    let renewal = acquire_lease(store, account, request(lease.generation)).await;
    assert!(
        complete(
            store,
            account,
            completion_with_refresh_token(renewal.generation, "r1")
        )
        .await
    );
    assert_eq!(
        acquire_token(store, account, 0).await.payload,
        payload("t1")
    );
    let again = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(refresh_payload(&again), Some(payload("r1")));
}

async fn a_returned_refresh_token_replaces_none(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request_for(0, SHORT)).await;
    wait_for_short().await;
    let second = acquire_lease(store, account, request_for(0, SHORT)).await;
    complete(
        store,
        account,
        completion_with_tokens(first.generation, "t1", "r1"),
    )
    .await;
    assert!(
        complete(
            store,
            account,
            completion_with_refresh_token(second.generation, "r0")
        )
        .await
    );
    let renewal = acquire_lease(store, account, request(first.generation)).await;
    assert_eq!(refresh_payload(&renewal), Some(payload("r1")));
}

async fn only_its_holder_ends_a_lease(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request_for(0, SHORT)).await;
    wait_for_short().await;
    let second = acquire_lease(store, account, request(0)).await;
    complete(store, account, completion(first.generation)).await;
    let other = acquire(store, account, request(0)).await;
    assert!(is_busy(&other, LONG), "{other:?}");
    complete(store, account, completion(second.generation)).await;
    acquire_lease(store, account, request(0)).await;
}

async fn entries_expire(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    let mut short = completion_with_tokens(lease.generation, "t1", "r1");
    for part in [&mut short.token, &mut short.refresh_token] {
        part.as_mut().expect("a part").ttl = SHORT;
    }
    complete(store, account, short).await;
    let ttl = acquire_token(store, account, 0).await.ttl;
    assert!(ttl <= SHORT, "{ttl:?}");
    wait_for_short().await;
    let next = acquire_lease(store, account, request(0)).await;
    assert_eq!(refresh_payload(&next), None);
    let mut short = completion_with_failure(next.generation, "no");
    short.failure.as_mut().expect("a part").ttl = SHORT;
    complete(store, account, short).await;
    wait_for_short().await;
    acquire_lease(store, account, request(0)).await;
}

async fn entries_with_a_ttl_of_zero_are_absent(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    let mut none = completion_with_tokens(lease.generation, "t1", "r1");
    none.token.as_mut().expect("a part").ttl = Duration::ZERO;
    none.refresh_token.as_mut().expect("a part").ttl = Duration::ZERO;
    assert!(complete(store, account, none).await);
    let next = acquire_lease(store, account, request(0)).await;
    assert_eq!(refresh_payload(&next), None);
}

async fn accounts_share_nothing(store: &impl TokenStore, account: &str) {
    let others = ["{common}", "common:token", "", "}", "ünïcödé ☃", "common "];
    let lease = acquire_lease(store, account, request(0)).await;
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t", "r"),
    )
    .await;
    for other in others {
        let lease = acquire_lease(store, other, request(0)).await;
        assert_eq!(refresh_payload(&lease), None, "{other}");
        complete(
            store,
            other,
            completion_with_tokens(lease.generation, other, "r"),
        )
        .await;
    }
    for other in others {
        assert_eq!(acquire_token(store, other, 0).await.payload, payload(other));
    }
    assert_eq!(acquire_token(store, account, 0).await.payload, payload("t"));
}

async fn a_change_is_notified(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    let mut changes = store.changes(&account.into());
    complete(
        store,
        account,
        completion_with_tokens(lease.generation, "t", "r"),
    )
    .await;
    timeout(LONG, changes.changed())
        .await
        .expect("notified in time")
        .expect("the store is there");
}

fn request_with_nonce(newer_than: u64, nonce: u64) -> Acquire {
    let mut request = request(newer_than);
    request.nonce = nonce;
    request
}

async fn withdraw(store: &impl TokenStore, account: &str, nonce: u64) {
    let withdrawn = store.withdraw(&account.into(), nonce).await;
    withdrawn.expect("an answer");
}

async fn a_withdrawn_lease_ends_and_its_refresh_token_is_kept(
    store: &impl TokenStore,
    account: &str,
) {
    let first = acquire_lease(store, account, request_with_nonce(0, 5)).await;
    let tokens = completion_with_tokens(first.generation, "t1", "r1");
    assert!(complete(store, account, tokens).await);
    let had = first.generation;
    let lost = acquire_lease(store, account, request_with_nonce(had, u64::MAX)).await;
    assert_eq!(refresh_payload(&lost), Some(payload("r1")));
    withdraw(store, account, u64::MAX).await;
    let next = acquire_lease(store, account, request_with_nonce(had, 7)).await;
    assert_eq!(refresh_payload(&next), Some(payload("r1")));
    // A refresh token that came meanwhile stays.
    let newer = completion_with_tokens(next.generation, "t2", "r2");
    assert!(complete(store, account, newer).await);
    withdraw(store, account, 7).await;
    let next = acquire_lease(store, account, request(next.generation)).await;
    assert_eq!(refresh_payload(&next), Some(payload("r2")));
}

async fn a_withdrawn_request_that_comes_late_begins_no_lease(
    store: &impl TokenStore,
    account: &str,
) {
    withdraw(store, account, 5).await;
    let late = acquire(store, account, request_with_nonce(0, 5)).await;
    assert_eq!(late, Acquired::Busy(Duration::ZERO));
    let lease = acquire_lease(store, account, request_with_nonce(0, 6)).await;
    let tokens = completion_with_tokens(lease.generation, "t1", "r1");
    assert!(complete(store, account, tokens).await);
    let late = acquire(store, account, request_with_nonce(lease.generation, 5)).await;
    assert_eq!(late, Acquired::Busy(Duration::ZERO));
    let next = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), Some(payload("r1")));
}

async fn only_its_own_request_is_withdrawn(store: &impl TokenStore, account: &str) {
    let first = acquire_lease(store, account, request(0)).await;
    let tokens = completion_with_tokens(first.generation, "t1", "r1");
    assert!(complete(store, account, tokens).await);
    let lease = acquire_lease(store, account, request_with_nonce(first.generation, 8)).await;
    assert_eq!(refresh_payload(&lease), Some(payload("r1")));
    for other in [0, 9, 1 << 63] {
        withdraw(store, account, other).await;
        let busy = acquire(store, account, request(first.generation)).await;
        assert!(is_busy(&busy, LONG) && busy != Acquired::Busy(Duration::ZERO));
    }
}

async fn lives_count_from_the_start_of_the_lease(store: &impl TokenStore, account: &str) {
    let lease = acquire_lease(store, account, request(0)).await;
    tokio::time::sleep(SHORT).await;
    let mut late = Completion::of(&lease);
    late.token = Some(stored("t1"));
    late.refresh_token = Some(Stored::new(payload("r1"), SHORT));
    assert!(complete(store, account, late).await);
    let entry = acquire_token(store, account, 0).await;
    assert!(entry.ttl <= LONG - SHORT, "{:?}", entry.ttl);
    assert!(entry.ttl > LONG - 10 * SHORT, "{:?}", entry.ttl);
    let next = acquire_lease(store, account, request(lease.generation)).await;
    assert_eq!(refresh_payload(&next), None, "its time is over");
}

async fn holders_of_one_name_share_nothing_and_are_told(store: &impl TokenStore, name: &str) {
    let accounts = [
        Account::new(name).held_by("a"),
        Account::new(name).held_by("b"),
        Account::new(name.to_uppercase()).held_by("a"),
        Account::new(name),
    ];
    for (n, account) in accounts.iter().enumerate() {
        let acquired = store.acquire(account, &request(0)).await;
        let Acquired::Lease(lease) = acquired.expect("an answer") else {
            panic!("{account:?} has what another wrote");
        };
        assert_eq!(lease.refresh_token, None);
        let warning = store.warning(account);
        assert_eq!(warning.is_some(), n > 0, "{account:?}: {warning:?}");
        let text = format!("t{n}");
        let tokens = completion_with_tokens(lease.generation, &text, &text);
        assert!(store.complete(account, &tokens).await.expect("an answer"));
    }
    for (n, account) in accounts.iter().enumerate() {
        let acquired = store.acquire(account, &request(0)).await;
        let Acquired::Token(entry) = acquired.expect("an answer") else {
            panic!("{account:?} has nothing");
        };
        assert_eq!(entry.payload, payload(&format!("t{n}")));
        let warning = store.warning(account).expect("told");
        let (ours, theirs) = match &warning {
            StoreWarning::OtherHolder { ours, theirs } => (ours, theirs),
            StoreWarning::OtherSpelling { ours, theirs } => (ours, theirs),
            other => panic!("{other:?}"),
        };
        assert_ne!(ours, theirs);
        assert!([&account.name, &account.holder].contains(&ours));
    }
}
