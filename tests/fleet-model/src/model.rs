//! Which actions are possible, and what must hold.

use stateright::{Model, Property};

use crate::action::{Action, Answer};
use crate::fleet::{Limits, Phase, Process, Request, Server, State};
use crate::store::{Completion, Rules, Store};

pub const SENT_ONCE: &str = "no refresh token is sent twice";
pub const NEWER_STAYS: &str = "a newer token is never replaced by an older one";
pub const NO_ORPHAN: &str = "a lease that was withdrawn is gone";
pub const KEPT: &str = "a withdrawal loses no refresh token";
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
            run: (0, 0),
            saved: None,
            processes: Default::default(),
            late: Vec::new(),
            requests: Vec::new(),
            left: self.limits,
            server: Server::default(),
            highest: 0,
            generation_came_twice: false,
            newer_was_replaced: false,
            refresh_token_was_lost: false,
            withdrawn: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        for (n, process) in state.processes.iter().enumerate() {
            match &process.phase {
                Phase::Idle => {
                    let news = state.store.token.is_some_and(|token| token > process.had);
                    if news || (state.store.lease.is_none() && left.leases > 0) {
                        actions.extend([Action::Acquire(n, false), Action::Acquire(n, true)]);
                    }
                    if !news && state.store.lease.is_none() && left.leases > 0 && left.crashes > 0 {
                        actions.push(Action::AcquireAbandoned(n, false));
                        if left.late > 0 {
                            actions.push(Action::AcquireAbandoned(n, true));
                        }
                    }
                    if left.withdrawals > 0 && left.leases > 0 {
                        actions.push(Action::AcquireWithdrawn(n));
                    }
                    if left.alone > 0 {
                        actions.push(Action::FetchAlone(n));
                    }
                }
                Phase::Leased(..) => actions.push(Action::Fetch(n)),
                Phase::Fetching(_, refresh) => {
                    actions.push(Action::Answer(n, Answer::Tokens));
                    actions.push(Action::Answer(n, Answer::None));
                    if refresh.is_some() {
                        actions.push(Action::Answer(n, Answer::Refused));
                    }
                    if left.put_off > 0 {
                        actions.push(Action::Answer(n, Answer::PutOff));
                    }
                }
                Phase::Fetched(_) => {
                    actions.push(Action::Complete(n));
                    if left.late > 0 {
                        actions.push(Action::CompleteLate(n));
                    }
                }
            }
            if left.crashes > 0 && *process != Process::default() {
                actions.push(Action::Crash(n));
            }
        }
        for (n, request) in state.requests.iter().enumerate() {
            if request.is_on_its_way && left.leases > 0 {
                actions.push(Action::RequestArrives(n));
            }
            if request.withdrawal_is_on_its_way {
                actions.push(Action::WithdrawalArrives(n));
            }
        }
        for n in 0..state.late.len() {
            actions.push(Action::Arrive(n, false));
            if !self.rules.completed_once {
                actions.push(Action::Arrive(n, true));
            }
            actions.push(Action::Lose(n));
        }
        if state.store.lease.is_some() {
            actions.push(Action::LeaseEnds);
        }
        if left.flushes > 0 && state.store != Store::default() {
            actions.push(Action::Flush);
        }
        if left.restores + left.fail_backs > 0 {
            if state.saved.is_none() && state.store != Store::default() {
                actions.push(Action::Save);
            }
            if state.saved.is_some() && left.restores > 0 {
                actions.push(Action::Restore);
            }
            if state.saved.is_some() && left.fail_backs > 0 {
                actions.push(Action::FailBack);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.act(&mut next, action);
        // Processes are interchangeable.
        next.processes.sort();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SENT_ONCE, |_, state: &State| !state.server.sent_twice),
            Property::always(NEWER_STAYS, |_, state: &State| !state.newer_was_replaced),
            Property::always(GENERATIONS, |_, state: &State| !state.generation_came_twice),
            Property::always(NO_ORPHAN, |_, state: &State| {
                let lease = state.store.lease.as_ref();
                lease.is_none_or(|lease| state.withdrawn & (1 << lease.nonce) == 0)
            }),
            Property::always(KEPT, |_, state: &State| !state.refresh_token_was_lost),
            // These show that the model reaches the interesting states.
            Property::sometimes("two fetch at the same time", |_, state: &State| {
                let fetching = |process: &&Process| matches!(process.phase, Phase::Fetching(..));
                state.processes.iter().filter(fetching).count() > 1
            }),
            Property::sometimes(
                "an older completion finds a newer one",
                |_, state: &State| {
                    let older = |it: &Completion| it.token && it.generation < state.store.written;
                    state.late.iter().any(older)
                },
            ),
            Property::sometimes("a refresh token is from another run", |_, state: &State| {
                state.store.refresh.is_some_and(|(_, run)| run != state.run)
            }),
            Property::sometimes(
                "a request comes after its withdrawal",
                |_, state: &State| {
                    let late = |it: &Request| it.is_on_its_way && !it.withdrawal_is_on_its_way;
                    state.requests.iter().any(late)
                },
            ),
            Property::sometimes(
                "a refresh token is given back and sent",
                |_, state: &State| state.server.came_again,
            ),
        ]
    }
}
