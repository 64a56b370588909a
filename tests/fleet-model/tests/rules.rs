//! With all rules every property holds; without one of them, a property is broken.

use std::time::Instant;

use fleet_model::{Fleet, GENERATIONS, Limits, NEWER_STAYS, Rules, SENT_ONCE};
use stateright::{Checker, HasDiscoveries, Model};

const LIMITS: Limits = Limits {
    leases: 3,
    crashes: 1,
    late: 1,
    flushes: 1,
    restores: 1,
    alone: 1,
    put_off: 1,
};

fn all_hold(limits: Limits) {
    let start = Instant::now();
    let rules = Rules::default();
    let checker = Fleet { rules, limits }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    checker.assert_properties();
    println!(
        "{} states, {} of them unique, {} s: {limits:?}",
        checker.state_count(),
        checker.unique_state_count(),
        start.elapsed().as_secs(),
    );
}

/// Without late messages the model cannot reach what is only reached by them.
fn all_hold_but_late(rules: Rules, limits: Limits) {
    let checker = Fleet { rules, limits }
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    for property in [SENT_ONCE, NEWER_STAYS, GENERATIONS] {
        checker.assert_no_discovery(property);
    }
    println!("{} states: {limits:?}", checker.unique_state_count());
}

fn breaks(property: &'static str, rules: Rules) {
    let limits = LIMITS;
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
    all_hold(LIMITS);
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
        ..LIMITS
    };
    all_hold_but_late(FILES(), limits);
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
