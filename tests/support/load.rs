//! Callers that repeat their calls.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use tower_bearer::TokenError;

/// A client that can be called.
pub(crate) trait Call: Clone + Send + Sync + 'static {
    /// Gives the status of one call, or why there was no token for it.
    fn call(&self) -> impl Future<Output = Result<u16, TokenError>> + Send;
}

/// What came of all calls so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) ok: u64,
    /// Answers other than 200, by status.
    pub(crate) others: BTreeMap<u16, u64>,
    /// Calls without a token, by kind of error.
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) last_error: Option<TokenError>,
    /// The call that took longest.
    pub(crate) longest: Duration,
}

impl Tally {
    pub(crate) fn count(&mut self, result: Result<u16, TokenError>, took: Duration) {
        self.longest = self.longest.max(took);
        match result {
            Ok(200) => self.ok += 1,
            Ok(status) => *self.others.entry(status).or_default() += 1,
            Err(error) => {
                *self
                    .errors
                    .entry(format!("{:?}", error.kind()))
                    .or_default() += 1;
                self.last_error = Some(error);
            }
        }
    }

    pub(crate) fn failed(&self) -> u64 {
        self.others.values().chain(self.errors.values()).sum()
    }

    /// No call failed.
    pub(crate) fn assert_all_ok(&self) {
        assert!(self.ok > 0 && self.failed() == 0, "{self:?}");
    }
}

/// This many callers in a loop, until they are stopped.
pub(crate) struct Load {
    state: Arc<State>,
    callers: JoinSet<()>,
}

#[derive(Default)]
struct State {
    tally: Mutex<Tally>,
    stopped: AtomicBool,
    /// The round that callers are in, and how many have finished a call in it.
    rounds: AtomicU64,
}

impl Load {
    pub(crate) fn start(stack: &impl Call, callers: usize, pause: Duration) -> Self {
        let state = Arc::new(State::default());
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let (stack, state) = (stack.clone(), state.clone());
            set.spawn(async move {
                while !state.stopped.load(SeqCst) {
                    let started = Instant::now();
                    let result = stack.call().await;
                    let took = started.elapsed();
                    state.tally.lock().expect("no panic").count(result, took);
                    state.rounds.fetch_add(1, SeqCst);
                    sleep(pause).await;
                }
            });
        }
        Self {
            state,
            callers: set,
        }
    }

    /// What came of the calls so far.
    pub(crate) fn tally(&self) -> Tally {
        self.state.tally.lock().expect("no panic").clone()
    }

    /// Waits for this many more calls to end.
    pub(crate) async fn calls(&self, more: u64) {
        let target = self.state.rounds.load(SeqCst) + more;
        while self.state.rounds.load(SeqCst) < target {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Has every caller end its last call.
    pub(crate) async fn stop(mut self) -> Tally {
        self.state.stopped.store(true, SeqCst);
        while let Some(ended) = self.callers.join_next().await {
            ended.expect("a caller that does not panic");
        }
        self.tally()
    }
}
