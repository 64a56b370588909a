//! What may happen next.

use stateright::{Model, Property};

use crate::fleet::{At, Limits, PROCESSES, Process, Server, State};
use crate::store::{Claimed, Rules, Settlement, Store};

pub const SENT_ONCE: &str = "no refresh token is sent twice";
pub const NEWER_STAYS: &str = "a newer token is never replaced by an older one";
pub const GENERATIONS: &str = "no generation is given twice";

/// A fleet of three with its store and its token endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub rules: Rules,
    pub limits: Limits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A 401 before it, or not.
    Claim(usize, bool),
    /// The process has gone on without the answer: nobody has it, or the store's
    /// client has and gives the lease back.
    ClaimUnheard(usize, bool),
    Ask(usize),
    Answer(usize, Answer),
    Settle(usize),
    /// The process does not wait for what comes of it.
    SettleLate(usize),
    /// The last one of them arrives; it is sent again where a rule is broken.
    Arrives(usize, bool),
    IsLost(usize),
    Alone(usize),
    Crash(usize),
    LeaseEnds,
    Flush,
    Save,
    Restore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Tokens,
    /// Of a refresh token.
    Refused,
    /// 429 or 503.
    PutOff,
    /// None came; who knows what the server did.
    None,
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
            Property::sometimes("a refresh token was given back", |_, state: &State| {
                state.store.refresh.is_some() && state.store.written > 0 && state.left.put_off == 0
            }),
        ]
    }
}

impl Fleet {
    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Claim(n, rejected) => self.claim(state, n, rejected),
            Action::ClaimUnheard(n, given_back) => self.claim_unheard(state, n, given_back),
            Action::Ask(n) => ask(state, n),
            Action::Answer(n, answer) => self.answer(state, n, answer),
            Action::Settle(n) => self.settle(state, n),
            Action::SettleLate(n) => {
                if let At::Brings(settlement) = std::mem::take(&mut state.processes[n].at) {
                    send_late(state, settlement);
                }
            }
            Action::Arrives(n, again) => {
                let settlement = state.late[n].clone();
                self.write(state, &settlement);
                if !again {
                    state.late.remove(n);
                    state.left.late += 1;
                }
            }
            Action::IsLost(n) => {
                state.late.remove(n);
                state.left.late += 1;
            }
            Action::Alone(n) => {
                state.left.alone -= 1;
                if let Some(own) = state.processes[n].own {
                    state.server.send(own);
                }
                state.processes[n].own = Some(state.server.issue());
            }
            Action::Crash(n) => {
                state.left.crashes -= 1;
                state.processes[n] = Process::default();
            }
            Action::LeaseEnds => state.store.lease = None,
            Action::Flush => {
                state.left.flushes -= 1;
                state.store = Store::default();
            }
            Action::Save => state.saved = Some(state.store.clone()),
            Action::Restore => {
                state.left.restores -= 1;
                state.run += 1;
                state.store = state.saved.take().expect("saved");
            }
        }
    }

    fn ask_store(&self, state: &mut State, n: usize, rejected: bool) -> Claimed {
        let wanted = (state.processes[n].had, rejected);
        let clock = state.highest + 1;
        let claimed = state.store.claim(&self.rules, wanted, (clock, state.run));
        if let Claimed::Leased(generation, _) = claimed {
            state.left.leases -= 1;
            state.generation_came_twice |= generation <= state.highest;
            state.highest = state.highest.max(generation);
        }
        claimed
    }

    fn claim(&self, state: &mut State, n: usize, rejected: bool) {
        match self.ask_store(state, n, rejected) {
            Claimed::Token(token) => state.processes[n].had = token,
            Claimed::Held => {}
            Claimed::Leased(generation, refresh) => {
                state.processes[n].at = At::Leased(generation, refresh);
            }
        }
    }

    fn claim_unheard(&self, state: &mut State, n: usize, given_back: bool) {
        state.left.crashes -= 1;
        if let Claimed::Leased(generation, refresh) = self.ask_store(state, n, false)
            && given_back
        {
            let back = settlement(generation, refresh);
            send_late(state, back);
        }
    }

    fn answer(&self, state: &mut State, n: usize, answer: Answer) {
        let At::Asking(generation, sent) = state.processes[n].at else {
            return;
        };
        let mut brings = settlement(generation, None);
        match answer {
            Answer::Tokens => {
                brings.token = true;
                brings.refresh = Some(state.server.issue());
            }
            Answer::None => brings.failure = true,
            Answer::PutOff => {
                state.left.put_off -= 1;
                brings.failure = true;
                brings.refresh = sent.inspect(|token| state.server.put_off(*token));
            }
            // Reads the store again, then logs in.
            Answer::Refused => match state.store.token {
                Some(token) if token > state.processes[n].had => state.processes[n].had = token,
                _ => {
                    state.processes[n].at = At::Asking(generation, None);
                    return;
                }
            },
        }
        state.processes[n].at = At::Brings(brings);
    }

    fn settle(&self, state: &mut State, n: usize) {
        let At::Brings(settlement) = std::mem::take(&mut state.processes[n].at) else {
            return;
        };
        let written = self.write(state, &settlement);
        let process = &mut state.processes[n];
        if settlement.token && written {
            process.had = settlement.generation;
        } else if let Some(token) = state.store.token {
            process.had = process.had.max(token);
        }
    }

    fn write(&self, state: &mut State, settlement: &Settlement) -> bool {
        let (written, replaced) = state.store.settle(&self.rules, settlement, state.run);
        state.newer_was_replaced |= replaced;
        written
    }
}

fn settlement(generation: u8, refresh: Option<u8>) -> Settlement {
    Settlement {
        generation,
        token: false,
        failure: false,
        refresh,
    }
}

/// With the refresh token of the lease, or its own, or the password.
fn ask(state: &mut State, n: usize) {
    let process = &mut state.processes[n];
    if let At::Leased(generation, given) = process.at {
        let own = process.own.take();
        let refresh = given.or(own);
        process.at = At::Asking(generation, refresh);
        if let Some(token) = refresh {
            state.server.send(token);
        }
    }
}

fn send_late(state: &mut State, settlement: Settlement) {
    state.left.late -= 1;
    state.late.push(settlement);
    state.late.sort();
}

const _: () = assert!(PROCESSES == 3);
