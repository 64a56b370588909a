//! With all rules every property holds; without one of them, a property is broken.

use fleet_model::{LifeRules, Lives, NEVER_LONGER};
use stateright::{Checker, Model};

fn breaks(rules: LifeRules) {
    let checker = Lives { rules }.checker().spawn_bfs().join();
    let path = checker.assert_any_discovery(NEVER_LONGER);
    println!("{NEVER_LONGER}: broken after {:?}", path.into_actions());
}

#[test]
fn a_life_is_never_told_too_long() {
    let rules = LifeRules::default();
    let checker = Lives { rules }.checker().spawn_bfs().join();
    checker.assert_properties();
    println!("{} unique states", checker.unique_state_count());
}

#[test]
fn a_life_that_counts_from_when_it_is_written_is_too_long() {
    breaks(LifeRules {
        from_the_lease: false,
        ..LifeRules::default()
    });
}

#[test]
fn a_life_that_counts_from_the_answer_is_too_long() {
    breaks(LifeRules {
        from_the_request: false,
        ..LifeRules::default()
    });
}

#[test]
fn a_lease_that_is_taken_to_be_older_than_it_is_makes_a_life_too_long() {
    breaks(LifeRules {
        from_its_arrival: false,
        ..LifeRules::default()
    });
}
