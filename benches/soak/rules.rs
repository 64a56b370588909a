//! The schedule of events, and which requests may fail then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// After this, everything happens again.
pub(crate) const CYCLE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// All access tokens are revoked.
    Revoke,
    /// The token endpoint refuses connections.
    Down,
    Up,
}

use Event::{Down, Revoke, Up};

/// When each comes, in seconds of the cycle. The first outage is shorter than the
/// rest of a token's life when it is due, the second is longer than its life.
pub(crate) const EVENTS: [(f64, Event); 9] = [
    (5.0, Revoke),
    (9.0, Revoke),
    (14.0, Revoke),
    (20.0, Down),
    (21.0, Up),
    (30.0, Revoke),
    (36.0, Down),
    (39.0, Revoke),
    (43.0, Up),
];

/// The longest pause between two attempts to reach the token endpoint.
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(8);
/// How long after an outage a fetch may still be backed off: the pause of the last
/// attempt in it, and the time of that attempt.
const BACKOFF: Duration = Duration::from_secs(10);
/// What a token that is due has left, less the margin in which it is not sent.
const LEFT: Duration = Duration::from_millis(1500);
/// An outage that is no longer than this is not felt by a token in use.
const SHORT: Duration = Duration::from_millis(1500);

/// How long a token may be on its way from the endpoint.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// Outages and revocations so far.
#[derive(Default)]
pub(crate) struct Outages {
    /// From when until when.
    away: Mutex<Vec<(Instant, Option<Instant>)>>,
    revoked: Mutex<Option<Instant>>,
}

impl Outages {
    pub(crate) fn record(&self, event: Event) {
        let mut outages = self.away.lock().expect("no panic");
        match event {
            Down => outages.push((Instant::now(), None)),
            Up => {
                if let Some(last) = outages.last_mut() {
                    last.1 = Some(Instant::now());
                }
            }
            Revoke => *self.revoked.lock().expect("no panic") = Some(Instant::now()),
        }
        // Those of the last cycle suffice, and memory is being measured.
        let over = outages.len().saturating_sub(4);
        outages.drain(..over);
    }

    /// Whether a request may fail that began then and ends now. `in_use`: its token is
    /// used all the time, so that it is renewed as soon as it is due.
    pub(crate) fn permit_failure(&self, began: Instant, in_use: bool) -> bool {
        let now = Instant::now();
        let outages = self.away.lock().expect("no panic");
        outages.iter().any(|(from, until)| {
            let ended = until.unwrap_or(now);
            if in_use && until.is_some() && ended - *from <= SHORT {
                return false;
            }
            let from = if in_use { *from + LEFT } else { *from };
            now >= from && began <= ended + BACKOFF
        })
    }

    /// Whether a request that began then may have been rejected twice: all tokens were
    /// revoked when the next one was on its way, and a request is sent again once.
    pub(crate) fn permit_second_rejection(&self, began: Instant) -> bool {
        let revoked = self.revoked.lock().expect("no panic");
        revoked.is_some_and(|at| at + ON_ITS_WAY >= began)
    }
}

/// What came of the requests.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) served: AtomicU64,
    /// Of them sent twice, because the first token was rejected.
    pub(crate) replayed: AtomicU64,
    /// Refused, as they have to be: the password is wrong.
    pub(crate) refused: AtomicU64,
    /// Failed because no token was available, in an outage or shortly after.
    pub(crate) permitted: AtomicU64,
    /// Rejected twice, at a revocation.
    pub(crate) twice: AtomicU64,
    /// Failed although a token was to be had.
    pub(crate) failed: AtomicU64,
}

impl Seen {
    pub(crate) fn show(&self) -> String {
        let of = |count: &AtomicU64| count.load(Relaxed);
        format!(
            "served: {}  of these replayed: {}  refused: {}  failed in outages: {}  rejected twice: {}  \
             failed: {}",
            of(&self.served),
            of(&self.replayed),
            of(&self.refused),
            of(&self.permitted),
            of(&self.twice),
            of(&self.failed),
        )
    }
}
