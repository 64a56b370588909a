//! What the hot path reads: the token in use, and until when a glance at the
//! clock is enough.
//!
//! A [`Live`] never changes but for its limit, which drops to zero when it is
//! replaced. So whoever holds one, however old, finds out by one load whether
//! it may still be sent.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use http::HeaderValue;

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
    limit: AtomicU64,
    /// None for one of many accounts: they would be most of its memory.
    copies: Option<Box<[Copied; STRIPES]>>,
}

/// A copy of the header value with bytes, and so a reference count, of its own,
/// on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Copied(OnceLock<HeaderValue>);

/// How many threads can count references without getting in each other's way.
const STRIPES: usize = 8;

impl Live {
    pub(crate) fn new(token: AccessToken, born: Moment, plan: Plan, forced: bool) -> Self {
        Self {
            token,
            born,
            plan,
            forced,
            limit: AtomicU64::new(0),
            copies: None,
        }
    }

    /// The same for many threads at once.
    pub(crate) fn striped(mut self) -> Self {
        self.copies = Some(Box::default());
        self
    }

    pub(crate) fn generation(&self) -> u64 {
        self.token.generation()
    }

    /// Whether the token may be sent without a closer look.
    #[inline]
    pub(crate) fn suffices(&self, now: Glance) -> bool {
        now.0 < self.limit.load(Ordering::Acquire)
    }

    /// Whether whoever sends this token should tell how it fared: nobody goes
    /// by a glance then.
    pub(crate) fn is_watched(&self) -> bool {
        self.limit.load(Ordering::Acquire) == 0
    }

    /// Sets until when a glance suffices, and tells whether it did not before.
    /// For the holder of the ledger only.
    pub(crate) fn set_limit(&self, limit: Glance) -> bool {
        self.limit.swap(limit.0, Ordering::AcqRel) == 0 && limit.0 > 0
    }

    /// The header value, in the copy of this thread's stripe if there are any.
    #[inline]
    pub(crate) fn header(&self) -> &HeaderValue {
        let Some(copies) = &self.copies else {
            return self.token.header();
        };
        let Copied(copy) = &copies[stripe()];
        copy.get_or_init(|| self.token.copied_header())
    }
}

/// This thread's stripe.
#[inline]
fn stripe() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE
        .try_with(|stripe| {
            if stripe.get() == usize::MAX {
                stripe.set(THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES);
            }
            stripe.get()
        })
        .unwrap_or_default()
}

/// The token in use, for any thread to read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Current(ArcSwapOption<Live>);

impl Current {
    /// The token in use, if a glance says that it may be sent.
    pub(crate) fn glance(&self) -> Option<Arc<Live>> {
        let live = self.0.load();
        let live = live.as_ref()?;
        live.suffices(Glance::now()).then(|| live.clone())
    }

    /// Replaces the token in use; whoever still holds the old one is told by
    /// its limit to look again.
    pub(crate) fn replace(&self, live: Option<Arc<Live>>) {
        if let Some(old) = self.0.swap(live) {
            old.set_limit(Glance::NEVER);
        }
    }
}

/// One service's view of the token in use. A service that is called more than
/// once keeps what it needs to itself: while the token lives, a call reads one
/// shared word that nobody writes.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    own: Option<Own>,
    called: bool,
}

#[derive(Debug)]
struct Own {
    live: Arc<Live>,
    header: HeaderValue,
    generation: u64,
}

impl Reader {
    /// Hands on the header value and its generation, if a glance suffices.
    #[inline]
    pub(crate) fn glance<R>(
        &mut self,
        current: &Current,
        send: impl FnOnce(&HeaderValue, u64) -> R,
    ) -> Option<R> {
        match &self.own {
            Some(own) if own.live.suffices(Glance::now()) => {
                Some(send(&own.header, own.generation))
            }
            _ => self.glance_again(current, send),
        }
    }

    #[inline(never)]
    fn glance_again<R>(
        &mut self,
        current: &Current,
        send: impl FnOnce(&HeaderValue, u64) -> R,
    ) -> Option<R> {
        self.own = None;
        let live = current.0.load();
        let live = live.as_ref().filter(|live| live.suffices(Glance::now()))?;
        if !self.called {
            // Perhaps a clone for this one request: neither worth a copy nor
            // worth counting references where other threads do.
            self.called = true;
            return Some(send(live.header(), live.generation()));
        }
        let own = self.own.insert(Own {
            live: live.clone(),
            header: live.token.copied_header(),
            generation: live.generation(),
        });
        Some(send(&own.header, own.generation))
    }
}

impl Clone for Reader {
    /// What one service keeps is not for another, which may be on another
    /// thread.
    fn clone(&self) -> Self {
        Self::default()
    }
}
