//! Code that the histories of all kinds share.

use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, yield_now};

/// More task switches than any chain of events takes at one moment.
const SWITCHES: usize = 10;

/// The dice of a history, with the cache's own.
pub(crate) fn dice(seed: u64) -> Rng {
    fastrand::seed(seed);
    Rng::with_seed(seed)
}

/// A runtime whose time is paused.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let builder = builder.enable_time().start_paused(true);
    builder.build().expect("a runtime")
}

/// Plays the history of this seed in one runtime: its steps, and its end.
pub(crate) fn play<H>(
    seed: u64,
    begin: impl FnOnce(&mut Rng) -> H,
    step: impl AsyncFn(&mut H, &mut Rng),
    end: impl AsyncFnOnce(&mut H),
) {
    let mut rng = dice(seed);
    runtime().block_on(async {
        let mut history = begin(&mut rng);
        for _ in 0..rng.u32(10..40) {
            step(&mut history, &mut rng).await;
        }
        end(&mut history).await;
    });
}

/// Lets all happen that can happen now.
pub(crate) async fn switch_tasks() {
    for _ in 0..SWITCHES {
        yield_now().await;
    }
}

/// Forgets the callers that are done.
pub(crate) fn forget_done(callers: &mut Vec<JoinHandle<()>>) {
    callers.retain(|caller| !caller.is_finished());
}

/// What the server, its requests and the history share.
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shared<T> {
    pub(crate) fn of(state: T) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("the model itself does not panic")
    }
}

/// The first promise that was broken.
#[derive(Default)]
pub(crate) struct Broken(Option<String>);

impl Broken {
    /// Records a broken promise, and what was seen then. Does not panic: the cache
    /// would catch it.
    pub(crate) fn check(&mut self, holds: bool, promise: &str, seen: impl FnOnce() -> String) {
        if !holds && self.0.is_none() {
            self.0 = Some(format!("{promise}\n{}", seen()));
        }
    }

    pub(crate) fn take(&mut self) -> Option<String> {
        self.0.take()
    }
}

/// The steps of a history so far.
pub(crate) struct Log {
    pub(crate) seed: u64,
    steps: Vec<String>,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        let steps = Vec::new();
        Self { seed, steps }
    }

    pub(crate) fn push(&mut self, step: String) {
        self.steps.push(step);
    }

    /// Ends the history if a promise was broken.
    pub(crate) fn expect_kept(&self, broken: Option<String>) {
        if let Some(broken) = broken {
            let (history, seed) = (self.steps.join("\n"), self.seed);
            panic!("{history}\nMODEL_SEED={seed}: {broken}");
        }
    }
}
