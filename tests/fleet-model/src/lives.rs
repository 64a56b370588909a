//! The life of a token, from the lease to its readers: the store may stand still
//! before a result is written, and the request may take long.

use stateright::{Model, Property};

pub const NEVER_LONGER: &str = "the store never says that a token lives longer than it does";

/// How long a token lives, and how long the model runs, in steps of its clock.
const LIFE: u8 = 4;
const END: u8 = 8;

/// The rules by which a life is reckoned. All hold unless a test breaks one.
#[derive(Clone, Copy, Debug)]
pub struct LifeRules {
    /// Times to live count from the start of the lease, not from when they are written.
    pub from_the_lease: bool,
    /// A life begins when the request leaves, not when its answer is there.
    pub from_the_request: bool,
    /// A lease is taken to have begun when its answer arrived, which is later than it
    /// did.
    pub from_its_arrival: bool,
}

impl Default for LifeRules {
    fn default() -> Self {
        Self {
            from_the_lease: true,
            from_the_request: true,
            from_its_arrival: true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Lives {
    pub rules: LifeRules,
}

/// The times at which each thing happened, by the one true clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LifeState {
    now: u8,
    asked: Option<u8>,
    leased: Option<u8>,
    arrived: Option<u8>,
    requested: Option<u8>,
    issued: Option<u8>,
    answered: Option<u8>,
    /// The time to live that the holder has sent.
    sent: Option<u8>,
    /// When the entry ends, in the store.
    ends: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeAction {
    Tick,
    Ask,
    Lease,
    LeaseArrives,
    Request,
    Issue,
    Answer,
    Send,
    /// The store runs the completion.
    Write,
}

impl Model for Lives {
    type State = LifeState;
    type Action = LifeAction;

    fn init_states(&self) -> Vec<LifeState> {
        vec![LifeState::default()]
    }

    fn actions(&self, state: &LifeState, actions: &mut Vec<LifeAction>) {
        if state.now < END {
            actions.push(LifeAction::Tick);
        }
        // One after the other.
        let next = [
            (state.asked.is_none(), LifeAction::Ask),
            (state.leased.is_none(), LifeAction::Lease),
            (state.arrived.is_none(), LifeAction::LeaseArrives),
            (state.requested.is_none(), LifeAction::Request),
            (state.issued.is_none(), LifeAction::Issue),
            (state.answered.is_none(), LifeAction::Answer),
            (state.sent.is_none(), LifeAction::Send),
            (state.ends.is_none(), LifeAction::Write),
        ];
        actions.extend(
            next.iter()
                .find(|(open, _)| *open)
                .map(|(_, action)| *action),
        );
    }

    fn next_state(&self, state: &LifeState, action: LifeAction) -> Option<LifeState> {
        let mut next = state.clone();
        let now = Some(next.now);
        match action {
            LifeAction::Tick => next.now += 1,
            LifeAction::Ask => next.asked = now,
            LifeAction::Lease => next.leased = now,
            LifeAction::LeaseArrives => next.arrived = now,
            LifeAction::Request => next.requested = now,
            LifeAction::Issue => next.issued = now,
            LifeAction::Answer => next.answered = now,
            LifeAction::Send => {
                let begin = match self.rules.from_the_request {
                    true => next.requested?,
                    false => next.answered?,
                };
                let lease = match self.rules.from_its_arrival {
                    true => next.arrived?,
                    false => next.asked?,
                };
                next.sent = Some(match self.rules.from_the_lease {
                    true => begin - lease + LIFE,
                    false => (begin + LIFE).saturating_sub(next.now),
                });
            }
            LifeAction::Write => {
                let begin = match self.rules.from_the_lease {
                    true => next.leased?,
                    false => next.now,
                };
                next.ends = Some(begin + next.sent?);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEVER_LONGER, |_, state: &LifeState| {
                // It lives from when it was issued.
                let pair = state.ends.zip(state.issued);
                pair.is_none_or(|(ends, issued)| ends <= issued + LIFE)
            }),
            // These show that the model reaches the interesting states.
            Property::sometimes("a result is written late", |_, state: &LifeState| {
                state.ends.is_some() && state.answered.is_some_and(|at| state.now > at + 2)
            }),
            Property::sometimes("a life is told exactly", |_, state: &LifeState| {
                let pair = state.ends.zip(state.issued);
                pair.is_some_and(|(ends, issued)| ends == issued + LIFE)
            }),
        ]
    }
}
