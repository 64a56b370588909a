//! What may happen next.

use stateright::{Model, Property};

use crate::action::{Action, Answer};
use crate::fleet::{At, Limits, Process, Server, State};
use crate::store::{Rules, Settlement, Store};

pub const SENT_ONCE: &str = "no refresh token is sent twice";
pub const NEWER_STAYS: &str = "a newer token is never replaced by an older one";
pub const GENERATIONS: &str = "no generation is given twice";

/// A fleet of three with its store and its token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub rules: Rules,
    pub limits: Limits,
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            store: Store::default(),
            run: 0,
            saved: None,
            processes: Default::default(),
            late: Vec::new(),
            left: self.limits,
            server: Server::default(),
            highest: 0,
            generation_came_twice: false,
            newer_was_replaced: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (n, process) in state.processes.iter().enumerate() {
            match &process.at {
                At::Idle => {
                    let news = state.store.token.is_some_and(|token| token > process.had);
                    if news || (state.store.lease.is_none() && left.leases > 0) {
                        actions.extend([Action::Claim(n, false), Action::Claim(n, true)]);
                    }
                    if !news && state.store.lease.is_none() && left.leases > 0 && left.crashes > 0 {
                        actions.push(Action::ClaimUnheard(n, false));
                        if left.late > 0 {
                            actions.push(Action::ClaimUnheard(n, true));
                        }
                    }
                    if left.alone > 0 {
                        actions.push(Action::Alone(n));
                    }
                }
                At::Leased(..) => actions.push(Action::Ask(n)),
                At::Asking(_, refresh) => {
                    actions.push(Action::Answer(n, Answer::Tokens));
                    actions.push(Action::Answer(n, Answer::None));
                    if refresh.is_some() {
                        actions.push(Action::Answer(n, Answer::Refused));
                    }
                    if left.put_off > 0 {
                        actions.push(Action::Answer(n, Answer::PutOff));
                    }
                }
                At::Brings(_) => {
                    actions.push(Action::Settle(n));
                    if left.late > 0 {
                        actions.push(Action::SettleLate(n));
                    }
                }
            }
            if left.crashes > 0 && *process != Process::default() {
                actions.push(Action::Crash(n));
            }
        }
        for n in 0..state.late.len() {
            actions.push(Action::Arrives(n, false));
            if !self.rules.settled_once {
                actions.push(Action::Arrives(n, true));
            }
            actions.push(Action::IsLost(n));
        }
        if state.store.lease.is_some() {
            actions.push(Action::LeaseEnds);
        }
        if left.flushes > 0 && state.store != Store::default() {
            actions.push(Action::Flush);
        }
        if left.restores > 0 {
            if state.saved.is_none() && state.store != Store::default() {
                actions.push(Action::Save);
            }
            if state.saved.is_some() {
                actions.push(Action::Restore);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.act(&mut next, action);
        // Who is who makes no difference.
        next.processes.sort();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SENT_ONCE, |_, state: &State| !state.server.sent_twice),
            Property::always(NEWER_STAYS, |_, state: &State| !state.newer_was_replaced),
            Property::always(GENERATIONS, |_, state: &State| !state.generation_came_twice),
            // Else nothing of this was tried.
            Property::sometimes("two fetch at the same time", |_, state: &State| {
                let asking = |process: &&Process| matches!(process.at, At::Asking(..));
                state.processes.iter().filter(asking).count() > 1
            }),
            Property::sometimes(
                "an older settlement finds a newer one",
                |_, state: &State| {
                    let older = |it: &Settlement| it.token && it.generation < state.store.written;
                    state.late.iter().any(older)
                },
            ),
            Property::sometimes("a refresh token is from another run", |_, state: &State| {
                state.store.refresh.is_some_and(|(_, run)| run != state.run)
            }),
            Property::sometimes(
                "a refresh token is given back and sent",
                |_, state: &State| state.server.came_again,
            ),
        ]
    }
}
