//! What the server knows, and the properties that accounts must have.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;
use tower_bearer::AccessToken;

use crate::backoff::Backoff;
use crate::common::{Broken, Shared};
use crate::moment::TICK;

pub(crate) const KEYS: usize = 5;

/// The key of an account. Some have the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) usize);

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_usize(self.0 % 2);
    }
}

impl Key {
    /// The number of its token endpoint.
    pub(crate) fn endpoint(self) -> usize {
        self.0 / 2
    }
}

/// How a token endpoint is disposed towards a key's password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Refusing,
    /// It refuses by a page, with this status.
    Odd(u16),
    /// 500: it may have counted the password as a wrong one.
    Failing,
    Unconnected,
}

#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) mood: Mood,
    pub(crate) latency: Duration,
    /// What failures of its password lead to, whatever becomes of its account.
    pub(crate) backoff: Backoff,
    /// How often its account was removed.
    pub(crate) removals: u32,
    pub(crate) used: Option<Instant>,
    /// It may have to wait for something that is not shared.
    pub(crate) unanswered: Option<Instant>,
}

/// A call of a token endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) key: Key,
    pub(crate) removals: u32,
    pub(crate) login: bool,
    pub(crate) since: Instant,
    /// The endpoint was known to be slow.
    pub(crate) at_slow: bool,
    /// It was known to be quick.
    pub(crate) at_quick: bool,
}

impl Call {
    fn is_quick(&self, now: Instant) -> bool {
        now < self.since + Duration::from_secs(1)
    }

    fn is_slow(&self, now: Instant) -> bool {
        now > self.since + Duration::from_secs(1) + TICK
    }
}

pub(crate) type World = Shared<State>;

pub(crate) struct State {
    pub(crate) seed: u64,
    pub(crate) max: usize,
    pub(crate) tenants: [Tenant; KEYS],
    pub(crate) calls: Vec<Call>,
    /// Endpoints that took more than a second since they were last quick.
    pub(crate) slow: HashSet<usize>,
    /// The same, or a second at the most.
    pub(crate) maybe_slow: HashSet<usize>,
    pub(crate) serial: u64,
    /// Access tokens that live, and whose they are.
    pub(crate) live: HashMap<u64, Key>,
    /// The session of each token of either sort.
    pub(crate) sessions: HashMap<u64, u64>,
    pub(crate) ended: HashSet<u64>,
    /// Sessions of accounts that handles are kept of.
    pub(crate) kept: Vec<u64>,
    pub(crate) lifetime: Duration,
    pub(crate) is_shut_down: bool,
    pub(crate) broken: Broken,
}

impl World {
    pub(crate) fn new(seed: u64, max: usize) -> Self {
        let tenant = |_| Tenant {
            mood: Mood::Good,
            latency: Duration::ZERO,
            backoff: Backoff::default(),
            removals: 0,
            used: None,
            unanswered: None,
        };
        Self::of(State {
            seed,
            max,
            tenants: std::array::from_fn(tenant),
            calls: Vec::new(),
            slow: HashSet::new(),
            maybe_slow: HashSet::new(),
            serial: 0,
            live: HashMap::new(),
            sessions: HashMap::new(),
            ended: HashSet::new(),
            kept: Vec::new(),
            lifetime: Duration::from_secs(300),
            is_shut_down: false,
            broken: Broken::default(),
        })
    }
}

impl State {
    /// Notes a broken promise.
    pub(crate) fn check(&mut self, holds: bool, promise: &str) {
        let (tenants, calls) = (&self.tenants, &self.calls);
        let seen = || format!("at {:?}\n{tenants:?}\n{calls:?}", Instant::now());
        self.broken.check(holds, promise, seen);
    }

    /// A call of a token endpoint comes.
    pub(crate) fn arrives(&mut self, call: Call) {
        let (Call { key, login, .. }, now) = (call, call.since);
        let shut_down = self.is_shut_down;
        self.check(!shut_down, "a token request after the shutdown");
        let mut others = self.calls.iter().filter(|it| it.key == key);
        let alone = others.all(|it| it.removals != call.removals || call.removals > 0);
        self.check(alone, "two fetches of an account at once");
        let mut logins = self.calls.iter().filter(|it| it.key == key && it.login);
        let alone = !login || logins.next().is_none();
        self.check(alone, "two logins with the same password at once");
        let soon = login && !self.tenants[key.0].backoff.may_try(now);
        self.check(!soon, "a login during its pause");

        self.find_slow();
        let endpoint = key.endpoint();
        let call = Call {
            at_slow: self.slow.contains(&endpoint),
            at_quick: !self.maybe_slow.contains(&endpoint),
            ..call
        };
        if call.at_slow {
            let slow = |it: &&Call| it.at_slow || it.is_slow(now);
            let slow = self.calls.iter().filter(slow).count();
            let fine = slow < (self.max / 4).max(1);
            self.check(fine, "slow endpoints have more than their share");
        }
        self.calls.push(call);
        let quick = |it: &&Call| it.at_quick && it.is_quick(now);
        let quick = self.calls.iter().filter(quick).count();
        let fine = quick <= self.max;
        self.check(fine, "more calls in their first second than are allowed");
    }

    /// Notes which endpoints are slow.
    pub(crate) fn find_slow(&mut self) {
        let now = Instant::now();
        let slow = self.calls.iter().filter(|it| it.is_slow(now));
        self.slow.extend(slow.map(|it| it.key.endpoint()));
        let maybe = self.calls.iter().filter(|it| !it.is_quick(now));
        self.maybe_slow.extend(maybe.map(|it| it.key.endpoint()));
    }

    pub(crate) fn ends(&mut self, number: u64) {
        self.find_slow();
        let now = Instant::now();
        let at = self.calls.iter().position(|it| it.number == number);
        let call = self.calls.swap_remove(at.expect("it is there"));
        if now <= call.since + Duration::from_secs(1) {
            self.slow.remove(&call.key.endpoint());
            self.maybe_slow.remove(&call.key.endpoint());
        }
    }

    /// A caller gets or sends a token. Returns its session.
    pub(crate) fn handed(&mut self, key: Key, text: &str) -> u64 {
        let serial = text.strip_prefix('a').and_then(|text| text.parse().ok());
        let serial: u64 = serial.unwrap_or_default();
        let session = self.sessions.get(&serial).copied().unwrap_or_default();
        self.check(
            session as usize % KEYS == key.0,
            "the token of another account",
        );
        let ended = self.ended.contains(&session);
        self.check(
            !ended,
            "a token whose session was ended as that of an evicted account",
        );
        session
    }

    pub(crate) fn handed_token(&mut self, key: Key, token: &AccessToken) -> u64 {
        self.handed(key, token.secret())
    }

    /// The number of a new session of this key.
    pub(crate) fn new_session(&mut self, key: Key) -> u64 {
        self.serial += 1;
        self.serial * KEYS as u64 + key.0 as u64
    }
}
