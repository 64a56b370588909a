//! With all rules every property holds; without one of them, a property is broken.

use std::time::Instant;

use fleet_model::{Fleet, GENERATIONS, KEPT, Limits, NEWER_STAYS, NO_ORPHAN, Rules, SENT_ONCE};
use stateright::{Checker, HasDiscoveries, Model};

const LIMITS: Limits = Limits {
    leases: 3,
    crashes: 1,
    late: 1,
    flushes: 1,
    restores: 1,
    fail_backs: 0,
    alone: 1,
    put_off: 1,
    withdrawals: 0,
};

/// With the loss of the store and processes on their own there would be too many states.
const WITHDRAWALS: Limits = Limits {
    leases: 3,
    crashes: 0,
    late: 0,
    flushes: 0,
    restores: 0,
    fail_backs: 0,
    alone: 0,
    put_off: 0,
    withdrawals: 2,
};

/// A server that was a replica in between forgets withdrawals, too.
const FAIL_BACKS: Limits = Limits {
    fail_backs: 1,
    withdrawals: 0,
    ..WITHDRAWALS
};

const ALWAYS: [&str; 5] = [SENT_ONCE, NEWER_STAYS, GENERATIONS, NO_ORPHAN, KEPT];

fn all_hold(limits: Limits, reached: &[&'static str]) {
    all_hold_by(Rules::default(), limits, reached);
}

fn all_hold_by(rules: Rules, limits: Limits, reached: &[&'static str]) {
    let start = Instant::now();
    let checker = Fleet { rules, limits }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    ALWAYS.iter().for_each(|it| checker.assert_no_discovery(it));
    reached
        .iter()
        .for_each(|it| drop(checker.assert_any_discovery(it)));
    println!(
        "{} states, {} of them unique, {} s: {limits:?}",
        checker.state_count(),
        checker.unique_state_count(),
        start.elapsed().as_secs(),
    );
}

fn breaks(property: &'static str, rules: Rules) {
    breaks_within(LIMITS, property, rules);
}

fn breaks_within(limits: Limits, property: &'static str, rules: Rules) {
    let fleet = Fleet { rules, limits }.checker().threads(2);
    let checker = fleet
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let path = checker.assert_any_discovery(property);
    println!("{property}: broken after {:?}", path.into_actions());
}

#[test]
fn no_refresh_token_is_sent_twice_and_no_newer_token_is_replaced() {
    let reached = [
        "two fetch at the same time",
        "an older completion finds a newer one",
        "a refresh token is from another run",
        "a refresh token is given back and sent",
    ];
    all_hold(LIMITS, &reached);
}

#[test]
fn a_server_that_was_a_replica_in_between_gives_no_refresh_token_twice() {
    all_hold(FAIL_BACKS, &["a refresh token is from another run"]);
}

#[test]
fn a_withdrawn_request_leaves_no_lease_and_loses_no_refresh_token() {
    all_hold(WITHDRAWALS, &["a request comes after its withdrawal"]);
}

#[test]
fn without_the_hand_over_a_refresh_token_is_sent_twice() {
    breaks(
        SENT_ONCE,
        Rules {
            lease_takes_refresh_token: false,
            ..Rules::default()
        },
    );
}

#[test]
fn without_the_fence_a_newer_token_is_replaced() {
    breaks(
        NEWER_STAYS,
        Rules {
            fenced: false,
            ..Rules::default()
        },
    );
}

#[test]
fn without_the_clock_a_flushed_store_gives_a_generation_twice() {
    breaks(
        GENERATIONS,
        Rules {
            clock: false,
            ..Rules::default()
        },
    );
}

#[test]
fn without_the_run_id_a_restored_store_gives_a_refresh_token_twice() {
    breaks(
        SENT_ONCE,
        Rules {
            run_id: false,
            ..Rules::default()
        },
    );
}

#[test]
fn a_completion_that_is_sent_twice_gives_a_refresh_token_twice() {
    breaks(
        SENT_ONCE,
        Rules {
            completed_once: false,
            ..Rules::default()
        },
    );
}

#[test]
fn without_the_replication_id_a_server_that_was_a_replica_gives_a_refresh_token_twice() {
    breaks_within(
        FAIL_BACKS,
        SENT_ONCE,
        Rules {
            replication_id: false,
            ..Rules::default()
        },
    );
}

#[test]
fn a_withdrawal_that_is_not_remembered_leaves_a_lease_that_nobody_holds() {
    breaks_within(
        WITHDRAWALS,
        NO_ORPHAN,
        Rules {
            withdrawals_are_remembered: false,
            ..Rules::default()
        },
    );
}

#[test]
fn a_withdrawal_of_any_lease_gives_a_refresh_token_twice() {
    breaks_within(
        WITHDRAWALS,
        SENT_ONCE,
        Rules {
            withdraws_its_own: false,
            ..Rules::default()
        },
    );
}

#[test]
fn a_withdrawal_that_only_ends_the_lease_loses_the_refresh_token() {
    breaks_within(
        WITHDRAWALS,
        KEPT,
        Rules {
            withdrawal_keeps_refresh_token: false,
            ..Rules::default()
        },
    );
}

/// Of a store whose leases are locks that a crash releases.
const FILES: fn() -> Rules = || Rules {
    crash_ends_lease: true,
    ..Rules::default()
};

#[test]
fn a_lock_that_a_crash_releases_keeps_all_rules() {
    // More crashes, and no message that is late: a process writes to a file itself.
    let limits = Limits {
        crashes: 2,
        late: 0,
        put_off: 0,
        ..LIMITS
    };
    all_hold_by(FILES(), limits, &[]);
}

#[test]
fn a_lock_that_gives_back_what_its_holder_took_sends_a_refresh_token_twice() {
    breaks(
        SENT_ONCE,
        Rules {
            taken_stays_taken: false,
            ..FILES()
        },
    );
}
