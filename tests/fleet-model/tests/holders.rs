//! With all rules every property holds; without one of them, a property is broken.

use fleet_model::{HolderRules, Holders, OWN_ENTRIES, OWN_TOKENS};
use stateright::{Checker, Model};

fn breaks(property: &'static str, rules: HolderRules) {
    let checker = Holders { rules }.checker().spawn_bfs().join();
    let path = checker.assert_any_discovery(property);
    println!("{property}: broken after {:?}", path.into_actions());
}

#[test]
fn holders_of_one_name_share_nothing() {
    let rules = HolderRules::default();
    let checker = Holders { rules }.checker().spawn_bfs().join();
    checker.assert_properties();
    println!("{} unique states", checker.unique_state_count());
}

#[test]
fn without_the_holder_in_the_key_they_delete_each_others_entries() {
    breaks(
        OWN_ENTRIES,
        HolderRules {
            in_key: false,
            ..HolderRules::default()
        },
    );
}

#[test]
fn without_the_holder_in_the_seal_a_copied_entry_is_taken() {
    breaks(
        OWN_TOKENS,
        HolderRules {
            in_seal: false,
            ..HolderRules::default()
        },
    );
}
