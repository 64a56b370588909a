//! The protocol by which a fleet counts refusals. Separate from the model with
//! refresh tokens, because together they would have too many states.
//!
//! Four processes share an account, two with one set of credentials, two with
//! another. None of them remembers anything, so the properties hold by the store
//! alone.

use stateright::{Model, Property};

pub const BUDGET: &str = "credentials are sent again only after their pause or a reset";
pub const STEPS: &str = "the pause is the step that the attempts of the fleet call for";

const SETS: usize = 2;

/// The rules by which a store keeps failures. All hold unless a test breaks one.
#[derive(Clone, Copy, Debug)]
pub struct FailureRules {
    /// Each set of credentials has its own failure.
    pub by_credentials: bool,
    /// A process that ignores the failure of its credentials deletes no other.
    pub ignores_only_its_own: bool,
    /// A token deletes the failure of its own credentials only.
    pub token_ends_only_its_own: bool,
    /// A failure is remembered when its time is over, and handed over with a lease.
    pub remembered: bool,
}

impl Default for FailureRules {
    fn default() -> Self {
        Self {
            by_credentials: true,
            ignores_only_its_own: true,
            token_ends_only_its_own: true,
            remembered: true,
        }
    }
}

/// How often each thing may happen, so that the model is finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailureLimits {
    pub leases: u8,
    /// Pauses that end.
    pub ends: u8,
    pub resets: u8,
    /// Processes that crash, and leases that end before their fetch does.
    pub accidents: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct Refusals {
    pub rules: FailureRules,
    pub limits: FailureLimits,
}

/// A failure in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Failure {
    credentials: usize,
    refused: u8,
    applies: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Process {
    credentials: usize,
    /// The generation of its lease, and the fleet's earlier count.
    lease: Option<(u8, u8)>,
    sent: bool,
}

/// The truth about a set of credentials, whatever the store has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Truth {
    /// Attempts since the last token or reset.
    attempts: u8,
    /// Attempts that are allowed by then, one for each end of a pause.
    allowed: u8,
    /// Attempts whose result is lost to the store, or may be.
    lost: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefusalState {
    failures: Vec<Failure>,
    lease: Option<u8>,
    generation: u8,
    written: u8,
    processes: [Process; 2 * SETS],
    truth: [Truth; SETS],
    left: FailureLimits,
    too_many: bool,
    too_short: bool,
    second_step: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalAction {
    /// The flag says that it ignores the last failure.
    Acquire(usize, bool),
    Send(usize),
    /// The credentials are refused, and the result is written.
    Refused(usize),
    /// The same, with a token.
    Token(usize),
    Crash(usize),
    LeaseEnds,
    /// The time of a failure is over.
    PauseEnds(usize),
}

impl Refusals {
    fn failure_of<'a>(&self, state: &'a RefusalState, credentials: usize) -> Option<&'a Failure> {
        let mut failures = state.failures.iter();
        failures.find(|failure| failure.credentials == credentials)
    }

    fn acquire(&self, state: &mut RefusalState, n: usize, ignore: bool) {
        let credentials = state.processes[n].credentials;
        if ignore {
            state.left.resets -= 1;
            let all = !self.rules.ignores_only_its_own;
            state
                .failures
                .retain(|it| it.credentials != credentials && !all);
            state.truth[credentials] = Truth {
                allowed: 1,
                // Someone else's attempt may be on its way.
                lost: in_flight(state, credentials),
                ..Truth::default()
            };
        }
        let failure = self.failure_of(state, credentials).copied();
        if failure.is_some_and(|failure| failure.applies) || state.lease.is_some() {
            return;
        }
        state.left.leases -= 1;
        state.generation += 1;
        state.lease = Some(state.generation);
        let refused = failure.map_or(0, |failure| failure.refused);
        state.processes[n].lease = Some((state.generation, refused));
    }

    fn complete(&self, state: &mut RefusalState, n: usize, token: bool) {
        let credentials = state.processes[n].credentials;
        let (generation, before) = state.processes[n].lease.take().expect("leased");
        state.processes[n].sent = false;
        if state.lease == Some(generation) {
            state.lease = None;
        }
        if token {
            state.truth[credentials] = Truth {
                allowed: 1,
                lost: in_flight(state, credentials),
                ..Truth::default()
            };
        }
        if generation < state.written {
            state.truth[credentials].lost += u8::from(!token);
            return;
        }
        state.written = generation;
        if token {
            let all = !self.rules.token_ends_only_its_own;
            state
                .failures
                .retain(|it| it.credentials != credentials && !all);
            return;
        }
        let failure = Failure {
            credentials,
            refused: before + 1,
            applies: true,
        };
        let Truth { attempts, lost, .. } = state.truth[credentials];
        state.too_short |= failure.refused + lost < attempts;
        state.second_step |= failure.refused == 2;
        let one_for_all = !self.rules.by_credentials;
        state
            .failures
            .retain(|it| it.credentials != credentials && !one_for_all);
        state.failures.push(failure);
        state.failures.sort_by_key(|it| it.credentials);
    }
}

fn in_flight(state: &RefusalState, credentials: usize) -> u8 {
    let mine = |it: &&Process| it.credentials == credentials && it.lease.is_some();
    state.processes.iter().filter(mine).count() as u8
}

impl Model for Refusals {
    type State = RefusalState;
    type Action = RefusalAction;

    fn init_states(&self) -> Vec<RefusalState> {
        let process = |n: usize| Process {
            credentials: n / 2,
            ..Process::default()
        };
        let truth = Truth {
            allowed: 1,
            ..Truth::default()
        };
        vec![RefusalState {
            failures: Vec::new(),
            lease: None,
            generation: 0,
            written: 0,
            processes: std::array::from_fn(process),
            truth: [truth; SETS],
            left: self.limits,
            too_many: false,
            too_short: false,
            second_step: false,
        }]
    }

    fn actions(&self, state: &RefusalState, actions: &mut Vec<RefusalAction>) {
        let left = &state.left;
        for (n, process) in state.processes.iter().enumerate() {
            match process {
                Process { lease: None, .. } => {
                    if left.leases > 0 && state.lease.is_none() {
                        actions.push(RefusalAction::Acquire(n, false));
                        if left.resets > 0 {
                            actions.push(RefusalAction::Acquire(n, true));
                        }
                    }
                    continue;
                }
                Process { sent: false, .. } => actions.push(RefusalAction::Send(n)),
                _ => actions.extend([RefusalAction::Refused(n), RefusalAction::Token(n)]),
            }
            if left.accidents > 0 {
                actions.push(RefusalAction::Crash(n));
            }
        }
        if left.accidents > 0 && state.lease.is_some() {
            actions.push(RefusalAction::LeaseEnds);
        }
        if left.ends > 0 {
            let applying = state.failures.iter().filter(|it| it.applies);
            actions.extend(applying.map(|it| RefusalAction::PauseEnds(it.credentials)));
        }
    }

    fn next_state(&self, state: &RefusalState, action: RefusalAction) -> Option<RefusalState> {
        let mut next = state.clone();
        match action {
            RefusalAction::Acquire(n, ignore) => self.acquire(&mut next, n, ignore),
            RefusalAction::Send(n) => {
                next.processes[n].sent = true;
                let truth = &mut next.truth[next.processes[n].credentials];
                truth.attempts += 1;
                next.too_many |= truth.attempts > truth.allowed + truth.lost;
            }
            RefusalAction::Refused(n) => self.complete(&mut next, n, false),
            RefusalAction::Token(n) => self.complete(&mut next, n, true),
            RefusalAction::Crash(n) => {
                next.left.accidents -= 1;
                let process = &mut next.processes[n];
                next.truth[process.credentials].lost += 1;
                (process.lease, process.sent) = (None, false);
            }
            RefusalAction::LeaseEnds => {
                next.left.accidents -= 1;
                let lease = next.lease.take();
                let holder = next
                    .processes
                    .iter()
                    .find(|it| it.lease.map(|(generation, _)| generation) == lease);
                if let Some(holder) = holder {
                    next.truth[holder.credentials].lost += 1;
                }
            }
            RefusalAction::PauseEnds(credentials) => {
                next.left.ends -= 1;
                next.truth[credentials].allowed += 1;
                let ended = next
                    .failures
                    .iter_mut()
                    .find(|it| it.credentials == credentials)?;
                ended.applies = false;
                if !self.rules.remembered {
                    next.failures.retain(|it| it.credentials != credentials);
                }
            }
        }
        // Those with the same credentials are interchangeable.
        next.processes.sort();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BUDGET, |_, state: &RefusalState| !state.too_many),
            Property::always(STEPS, |_, state: &RefusalState| !state.too_short),
            // These show that the model reaches the interesting states.
            Property::sometimes("a second refusal", |_, state: &RefusalState| {
                state.second_step
            }),
            Property::sometimes("both credentials refused", |_, state: &RefusalState| {
                state.failures.iter().filter(|it| it.applies).count() == SETS
            }),
            Property::sometimes("a result comes too late", |_, state: &RefusalState| {
                let late = |it: &Process| it.lease.is_some_and(|(it, _)| it < state.written);
                state.processes.iter().any(late)
            }),
        ]
    }
}
