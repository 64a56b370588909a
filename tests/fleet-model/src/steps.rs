//! The effect of each action.

use crate::action::{Action, Answer};
use crate::fleet::{Phase, Process, Request, State};
use crate::model::Fleet;
use crate::store::{Acquired, Completion, Generation, Nonce, Store};

impl Fleet {
    pub(crate) fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Acquire(n, rejected) => self.acquire(state, n, rejected),
            Action::AcquireAbandoned(n, given_back) => self.acquire_abandoned(state, n, given_back),
            Action::AcquireWithdrawn(n) => {
                let nonce = state.left.withdrawals;
                state.left.withdrawals -= 1;
                state.requests.push(Request {
                    nonce,
                    had: state.processes[n].had,
                    is_on_its_way: true,
                    withdrawal_is_on_its_way: true,
                });
                state.requests.sort();
            }
            Action::RequestArrives(n) => {
                state.requests[n].is_on_its_way = false;
                let Request { nonce, had, .. } = state.requests[n];
                // The answer reaches no process.
                self.acquire_from_store(state, (had, false, nonce));
            }
            Action::WithdrawalArrives(n) => {
                state.requests[n].withdrawal_is_on_its_way = false;
                let nonce = state.requests[n].nonce;
                state.withdrawn |= 1 << nonce;
                let lost = state.store.withdraw(&self.rules, nonce);
                state.refresh_token_was_lost |= lost;
            }
            Action::Fetch(n) => fetch(state, n),
            Action::Answer(n, answer) => self.answer(state, n, answer),
            Action::Complete(n) => self.complete(state, n),
            Action::CompleteLate(n) => {
                if let Phase::Fetched(completion) = std::mem::take(&mut state.processes[n].phase) {
                    send_late(state, completion);
                }
            }
            Action::Arrive(n, again) => {
                let completion = state.late[n].clone();
                self.write(state, &completion);
                if !again {
                    state.late.remove(n);
                    state.left.late += 1;
                }
            }
            Action::Lose(n) => {
                state.late.remove(n);
                state.left.late += 1;
            }
            Action::FetchAlone(n) => {
                state.left.alone -= 1;
                if let Some(own) = state.processes[n].own {
                    state.server.send(own);
                }
                state.processes[n].own = Some(state.server.issue());
            }
            Action::Crash(n) => {
                state.left.crashes -= 1;
                let crashed = std::mem::take(&mut state.processes[n]);
                if self.rules.crash_ends_lease {
                    self.release(state, &crashed);
                }
            }
            Action::LeaseEnds => state.store.lease = None,
            Action::Flush => {
                state.left.flushes -= 1;
                state.store = Store::default();
            }
            Action::Save => state.saved = Some(state.store.clone()),
            Action::Restore => {
                state.left.restores -= 1;
                // Its replication id may be the old one: files keep that.
                state.run.0 += 1;
                state.store = state.saved.take().expect("saved");
            }
            Action::FailBack => {
                state.left.fail_backs -= 1;
                state.run.1 += 1;
                state.store = state.saved.take().expect("saved");
            }
        }
    }

    fn acquire_from_store(&self, state: &mut State, wanted: (Generation, bool, Nonce)) -> Acquired {
        let clock = state.highest + 1;
        let acquired = state.store.acquire(&self.rules, wanted, (clock, state.run));
        if let Acquired::Lease(generation, _) = acquired {
            state.left.leases -= 1;
            state.generation_came_twice |= generation <= state.highest;
            state.highest = state.highest.max(generation);
        }
        acquired
    }

    fn acquire(&self, state: &mut State, n: usize, rejected: bool) {
        let had = state.processes[n].had;
        match self.acquire_from_store(state, (had, rejected, 0)) {
            Acquired::Token(token) => state.processes[n].had = token,
            Acquired::Busy => {}
            Acquired::Lease(generation, refresh) => {
                state.processes[n].phase = Phase::Leased(generation, refresh);
            }
        }
    }

    fn acquire_abandoned(&self, state: &mut State, n: usize, given_back: bool) {
        state.left.crashes -= 1;
        let had = state.processes[n].had;
        let acquired = self.acquire_from_store(state, (had, false, 0));
        if let Acquired::Lease(generation, refresh) = acquired
            && given_back
        {
            let back = completion(generation, refresh);
            send_late(state, back);
        }
    }

    /// The operating system releases the lock of a process that crashed, unless
    /// another process has created a new one.
    fn release(&self, state: &mut State, crashed: &Process) {
        let generation = match &crashed.phase {
            Phase::Idle => return,
            Phase::Leased(generation, _) | Phase::Fetching(generation, _) => *generation,
            Phase::Fetched(completion) => completion.generation,
        };
        let lease = &mut state.store.lease;
        if let Some(lease) = lease.take_if(|it| it.generation == generation)
            && !self.rules.taken_stays_taken
        {
            state.store.refresh = lease.taken;
        }
    }

    fn answer(&self, state: &mut State, n: usize, answer: Answer) {
        let Phase::Fetching(generation, sent) = state.processes[n].phase else {
            return;
        };
        let mut completion = completion(generation, None);
        match answer {
            Answer::Tokens => {
                completion.token = true;
                completion.refresh = Some(state.server.issue());
            }
            Answer::None => completion.failure = true,
            Answer::PutOff => {
                state.left.put_off -= 1;
                completion.failure = true;
                completion.refresh = sent.inspect(|token| state.server.put_off(*token));
            }
            // Reads the store again, and logs in if it has nothing newer.
            Answer::Refused => match state.store.token {
                Some(token) if token > state.processes[n].had => state.processes[n].had = token,
                _ => {
                    state.processes[n].phase = Phase::Fetching(generation, None);
                    return;
                }
            },
        }
        state.processes[n].phase = Phase::Fetched(completion);
    }

    fn complete(&self, state: &mut State, n: usize) {
        let Phase::Fetched(completion) = std::mem::take(&mut state.processes[n].phase) else {
            return;
        };
        let written = self.write(state, &completion);
        let process = &mut state.processes[n];
        if completion.token && written {
            process.had = completion.generation;
        } else if let Some(token) = state.store.token {
            process.had = process.had.max(token);
        }
    }

    fn write(&self, state: &mut State, completion: &Completion) -> bool {
        let (written, replaced) = state.store.complete(&self.rules, completion, state.run);
        state.newer_was_replaced |= replaced;
        written
    }
}

fn completion(generation: u8, refresh: Option<u8>) -> Completion {
    Completion {
        generation,
        token: false,
        failure: false,
        refresh,
    }
}

/// Sends a token request with the refresh token of the lease, or the process's own, or
/// the password.
fn fetch(state: &mut State, n: usize) {
    let process = &mut state.processes[n];
    if let Phase::Leased(generation, given) = process.phase {
        let own = process.own.take();
        let refresh = given.or(own);
        process.phase = Phase::Fetching(generation, refresh);
        if let Some(token) = refresh {
            state.server.send(token);
        }
    }
}

fn send_late(state: &mut State, completion: Completion) {
    state.left.late -= 1;
    state.late.push(completion);
    state.late.sort();
}
