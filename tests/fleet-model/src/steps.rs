//! What comes of each action.

use crate::action::{Action, Answer};
use crate::fleet::{At, Process, State};
use crate::model::Fleet;
use crate::store::{Claimed, Settlement, Store};

impl Fleet {
    pub(crate) fn act(&self, state: &mut State, action: Action) {
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
