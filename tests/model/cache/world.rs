//! The surroundings of the cache in a history: clocks, a server that changes its
//! behaviour, and the reference.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::cache::reference::Reference;
use crate::cache::rejections::{ORIGINS, Verdict};
use crate::common::{Broken, Shared};
use crate::moment::Moment;

/// How the token endpoint is disposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Down(Option<u64>),
    Refusing,
    Unconnected,
    Babbling,
    Panicking,
}

/// How an origin is disposed towards tokens that live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiMood {
    Good,
    Rejecting,
    /// Rejects them at one of its routes.
    OneRoute,
    /// A 401 that is about the scope.
    Odd,
    Failing,
}

/// A request that is at an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    pub(crate) serial: u64,
    pub(crate) since: Instant,
    /// Sent when the cache counted those that carry its token.
    pub(crate) counted: bool,
}

pub(crate) type World = Shared<State>;

pub(crate) struct State {
    start: Instant,
    /// Milliseconds by which the wall clock is ahead of tokio's.
    pub(crate) ahead: u64,
    pub(crate) mood: Mood,
    pub(crate) latency: Duration,
    pub(crate) lifetime: Option<u64>,
    pub(crate) refresh_lifetime: Option<u64>,
    pub(crate) gives_refresh: bool,
    pub(crate) rotates: bool,
    /// A refresh ends the access tokens before it.
    pub(crate) ends_access: bool,
    /// Refreshes are what this history is about.
    pub(crate) is_scene: bool,
    pub(crate) api_moods: [ApiMood; ORIGINS],
    pub(crate) api_latency: Duration,

    pub(crate) last_serial: u64,
    pub(crate) live: HashSet<u64>,
    pub(crate) sessions: HashSet<u64>,

    pub(crate) reference: Reference,
    pub(crate) fetching: u32,
    /// A refresh token is on its way.
    pub(crate) refreshing: bool,
    /// Since when callers wait, though a token is valid and no refresh token is on
    /// its way yet.
    pub(crate) withheld_since: Option<Instant>,
    /// How many ask for more life than the token in use may have.
    pub(crate) longer: u32,
    /// The runtime is about to end, and what it does is undone.
    pub(crate) ending: bool,
    pub(crate) at_api: HashMap<u64, Sending>,
    /// What each request to the API was sent with so far.
    pub(crate) sent: HashMap<u64, Vec<u64>>,
    /// What follows from the first rejection of each of them.
    pub(crate) verdicts: HashMap<u64, Verdict>,
    pub(crate) fetches: u64,
    pub(crate) broken: Broken,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(State {
            start: Instant::now(),
            ahead: 1 << 40,
            mood: Mood::Good,
            latency: Duration::ZERO,
            lifetime: Some(3000),
            refresh_lifetime: Some(7200),
            gives_refresh: true,
            rotates: false,
            ends_access: false,
            is_scene: false,
            api_moods: [ApiMood::Good; ORIGINS],
            api_latency: Duration::ZERO,
            last_serial: 0,
            live: HashSet::new(),
            sessions: HashSet::new(),
            reference: Reference::default(),
            fetching: 0,
            refreshing: false,
            withheld_since: None,
            longer: 0,
            ending: false,
            at_api: HashMap::new(),
            sent: HashMap::new(),
            verdicts: HashMap::new(),
            fetches: 0,
            broken: Broken::default(),
        })
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.lock().now().wall
    }
}

impl State {
    pub(crate) fn now(&self) -> Moment {
        let awake = Instant::now();
        let passed = Duration::from_millis(self.ahead) + (awake - self.start);
        Moment {
            awake,
            wall: SystemTime::UNIX_EPOCH + passed,
        }
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Notes a broken promise.
    pub(crate) fn check(&mut self, holds: bool, promise: &str) {
        let (now, reference) = (self.now(), &self.reference);
        let seen = || format!("at {now:?}\nreference {reference:?}");
        self.broken.check(holds, promise, seen);
    }
}
