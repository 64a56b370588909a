//! Two holders of accounts with one name, by mistake: production and staging, or two
//! users. An attacker who can write to the store may copy entries.

use stateright::{Model, Property};

pub const OWN_TOKENS: &str = "no holder gets another one's token";
pub const OWN_ENTRIES: &str = "no holder deletes or replaces another one's entry";

const HOLDERS: usize = 2;

/// The rules by which a store keeps holders apart. All hold unless a test breaks one.
#[derive(Clone, Copy, Debug)]
pub struct HolderRules {
    /// The holder is a part of an entry's key.
    pub in_key: bool,
    /// The holder is part of what the seal authenticates.
    pub in_seal: bool,
}

impl Default for HolderRules {
    fn default() -> Self {
        Self {
            in_key: true,
            in_seal: true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Holders {
    pub rules: HolderRules,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HolderState {
    /// The holder of the entry under each key.
    entries: [Option<usize>; HOLDERS],
    got_anothers: bool,
    changed_anothers: bool,
    copied: bool,
    written: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderAction {
    Write(usize),
    Read(usize),
    /// An attacker copies an entry to another key.
    Copy(usize, usize),
}

impl Holders {
    fn key(&self, holder: usize) -> usize {
        if self.rules.in_key { holder } else { 0 }
    }
}

impl Model for Holders {
    type State = HolderState;
    type Action = HolderAction;

    fn init_states(&self) -> Vec<HolderState> {
        vec![HolderState::default()]
    }

    fn actions(&self, _: &HolderState, actions: &mut Vec<HolderAction>) {
        for holder in 0..HOLDERS {
            actions.extend([HolderAction::Write(holder), HolderAction::Read(holder)]);
            actions.push(HolderAction::Copy(holder, 1 - holder));
        }
    }

    fn next_state(&self, state: &HolderState, action: HolderAction) -> Option<HolderState> {
        let mut next = state.clone();
        match action {
            HolderAction::Write(holder) => {
                let key = self.key(holder);
                let old = next.entries[key].replace(holder);
                // Overwriting a copied entry harms no holder.
                next.changed_anothers |= !next.copied && old.is_some_and(|old| old != holder);
                next.written = true;
            }
            HolderAction::Read(holder) => {
                let key = self.key(holder);
                let Some(of) = next.entries[key].filter(|of| *of != holder) else {
                    return None;
                };
                if self.rules.in_seal {
                    // It cannot be opened, counts as absent and is deleted.
                    next.changed_anothers |= !next.copied && of != holder;
                    next.entries[key] = None;
                } else {
                    next.got_anothers = true;
                }
            }
            HolderAction::Copy(from, to) => {
                next.entries[to] = next.entries[from];
                next.copied = true;
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(OWN_TOKENS, |_, state: &HolderState| !state.got_anothers),
            Property::always(OWN_ENTRIES, |_, state: &HolderState| {
                !state.changed_anothers
            }),
            // These show that the model reaches the interesting states.
            Property::sometimes("both have entries", |_, state: &HolderState| {
                state.entries == [Some(0), Some(1)]
            }),
            Property::sometimes(
                "an entry in another one's place",
                |_, state: &HolderState| state.entries[1] == Some(0),
            ),
        ]
    }
}
