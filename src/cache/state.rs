//! What the hot path reads: the token in use, and until when a glance at the
//! clock is enough.

use crate::cache::clock::{Glance, Moment};
use crate::cache::schedule::Plan;
use crate::cache::sync::{Arc, ArcSwapOption, AtomicU64, Ordering};
use crate::token::AccessToken;

/// A token in use.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) token: AccessToken,
    /// When its request was about to be sent.
    pub(crate) born: Moment,
    pub(crate) plan: Plan,
    /// Brought by a renewal that a 401 forced.
    pub(crate) forced: bool,
    glance: Limit,
}

/// A [`Glance`] that changes: zero once the token is no longer in use.
#[derive(Debug, Default)]
struct Limit {
    monotonic: AtomicU64,
    wall: AtomicU64,
}

impl Live {
    pub(crate) fn new(token: AccessToken, born: Moment, plan: Plan, forced: bool) -> Self {
        Self {
            token,
            born,
            plan,
            forced,
            glance: Limit::default(),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.token.generation()
    }

    /// Whether the token may be sent without a closer look.
    #[inline]
    pub(crate) fn suffices(&self, now: Glance) -> bool {
        now.monotonic < self.glance.monotonic.load(Ordering::Acquire)
            && now.wall < self.glance.wall.load(Ordering::Acquire)
    }

    /// Whether whoever sends this token should tell how it fared: nobody goes
    /// by a glance then.
    #[inline]
    pub(crate) fn is_watched(&self) -> bool {
        self.glance.monotonic.load(Ordering::Acquire) == 0
    }

    /// Sets until when a glance suffices. For the holder of the ledger only.
    pub(crate) fn set_glance(&self, limit: Glance) {
        self.glance
            .monotonic
            .store(limit.monotonic, Ordering::Release);
        self.glance.wall.store(limit.wall, Ordering::Release);
    }
}

/// The token in use, for any thread to read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Current(ArcSwapOption<Live>);

impl Current {
    pub(crate) fn read(&self) -> Option<Arc<Live>> {
        self.0.load_full()
    }

    /// Replaces the token in use; whoever still holds the old one is told by
    /// its glance to look again.
    pub(crate) fn replace(&self, live: Option<Arc<Live>>) {
        if let Some(old) = self.0.swap(live) {
            old.set_glance(Glance::ZERO);
        }
    }
}
