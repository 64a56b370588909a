//! With all rules every property holds; without one of them, a property is broken.

use std::time::Instant;

use fleet_model::{BUDGET, FailureLimits, FailureRules, Refusals, STEPS};
use stateright::{Checker, HasDiscoveries, Model};

const LIMITS: FailureLimits = FailureLimits {
    leases: 5,
    ends: 3,
    resets: 1,
    accidents: 2,
};

fn breaks(property: &'static str, rules: FailureRules) {
    let limits = LIMITS;
    let fleet = Refusals { rules, limits }.checker().threads(2);
    let checker = fleet
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let path = checker.assert_any_discovery(property);
    println!("{property}: broken after {:?}", path.into_actions());
}

#[test]
fn refusals_are_counted_by_the_fleet_for_each_set_of_credentials() {
    let start = Instant::now();
    let (rules, limits) = (FailureRules::default(), LIMITS);
    let fleet = Refusals { rules, limits }.checker().threads(2);
    let checker = fleet.spawn_bfs().join();
    checker.assert_properties();
    println!(
        "{} states, {} of them unique, {} s: {limits:?}",
        checker.state_count(),
        checker.unique_state_count(),
        start.elapsed().as_secs(),
    );
}

#[test]
fn with_one_failure_for_all_credentials_they_erase_each_others() {
    breaks(
        BUDGET,
        FailureRules {
            by_credentials: false,
            ..FailureRules::default()
        },
    );
}

#[test]
fn a_reset_that_deletes_all_failures_lets_others_be_sent_again() {
    breaks(
        BUDGET,
        FailureRules {
            ignores_only_its_own: false,
            ..FailureRules::default()
        },
    );
}

#[test]
fn a_token_that_deletes_all_failures_lets_others_be_sent_again() {
    breaks(
        BUDGET,
        FailureRules {
            token_ends_only_its_own: false,
            ..FailureRules::default()
        },
    );
}

#[test]
fn without_a_memory_every_refusal_in_the_fleet_is_the_first() {
    breaks(
        STEPS,
        FailureRules {
            remembered: false,
            ..FailureRules::default()
        },
    );
}
