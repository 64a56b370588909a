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

/// How long after an outage a fetch may still be backed off: the pause is drawn at
/// random from zero up to a bound that doubles with each failure.
const BACKOFF: Duration = Duration::from_secs(10);
/// What a token that is due has left, less the margin in which it is not sent.
const LEFT: Duration = Duration::from_millis(1500);
/// An outage that is no longer than this is not felt by a token in use.
const SHORT: Duration = Duration::from_millis(1500);

/// Outages so far.
#[derive(Default)]
pub(crate) struct Outages(Mutex<Vec<(Instant, Option<Instant>)>>);

impl Outages {
    pub(crate) fn record(&self, event: Event) {
        let mut outages = self.0.lock().expect("no panic");
        match event {
            Down => outages.push((Instant::now(), None)),
            Up => {
                if let Some(last) = outages.last_mut() {
                    last.1 = Some(Instant::now());
                }
            }
            Revoke => {}
        }
        // Those of the last cycle suffice, and memory is being measured.
        let over = outages.len().saturating_sub(4);
        outages.drain(..over);
    }

    /// Whether a request may fail that began then and ends now. `in_use`: its token is
    /// used all the time, so that it is renewed as soon as it is due.
    pub(crate) fn permit_failure(&self, began: Instant, in_use: bool) -> bool {
        let now = Instant::now();
        let outages = self.0.lock().expect("no panic");
        outages.iter().any(|(from, until)| {
            let ended = until.unwrap_or(now);
            if in_use && until.is_some() && ended - *from <= SHORT {
                return false;
            }
            let from = if in_use { *from + LEFT } else { *from };
            now >= from && began <= ended + BACKOFF
        })
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
    /// Failed although a token was to be had.
    pub(crate) failed: AtomicU64,
}

impl Seen {
    pub(crate) fn show(&self) -> String {
        let of = |count: &AtomicU64| count.load(Relaxed);
        format!(
            "served: {}  of these replayed: {}  refused: {}  failed in outages: {}  failed: {}",
            of(&self.served),
            of(&self.replayed),
            of(&self.refused),
            of(&self.permitted),
            of(&self.failed),
        )
    }
}
