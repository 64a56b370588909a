//! What the hot path reads: the token in use, and until when a glance at the
//! clock is enough.
//!
//! A [`CachedToken`] never changes but for its limit, which drops to zero when it is
//! replaced. So whoever holds one, however old, finds out by one load whether
//! it may still be sent.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

use http::HeaderValue;

use crate::cache::clock::{CoarseTime, Moment};
use crate::cache::schedule::Schedule;
use crate::sync::model::{Arc, ArcSwapOption, AtomicU64, Ordering};
use crate::token::AccessToken;

/// A token in use.
#[derive(Debug)]
pub(crate) struct CachedToken {
    pub(crate) token: AccessToken,
    /// When its request was about to be sent.
    pub(crate) requested_at: Moment,
    pub(crate) schedule: Schedule,
    /// FetchResult by a renewal that a 401 forced.
    pub(crate) forced: bool,
    fast_until: AtomicU64,
    /// None for one of many accounts: they would be most of its memory.
    copies: Option<Box<[PaddedHeader; STRIPES]>>,
}

/// A copy of the header value with bytes, and so a reference count, of its local,
/// on a cache line of its local.
#[derive(Debug, Default)]
#[repr(align(128))]
struct PaddedHeader(OnceLock<HeaderValue>);

/// How many threads can count references without getting in each other's way.
const STRIPES: usize = 8;

impl CachedToken {
    pub(crate) fn new(
        token: AccessToken,
        requested_at: Moment,
        schedule: Schedule,
        forced: bool,
    ) -> Self {
        Self {
            token,
            requested_at,
            schedule,
            forced,
            fast_until: AtomicU64::new(0),
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
    pub(crate) fn is_fast_at(&self, now: CoarseTime) -> bool {
        now.0 < self.fast_until.load(Ordering::Acquire)
    }

    /// Whether whoever sends this token should tell how it fared: nobody goes
    /// by a glance then.
    pub(crate) fn wants_outcome(&self) -> bool {
        self.fast_until.load(Ordering::Acquire) == 0
    }

    /// Sets until when a glance suffices, and tells whether it did not before.
    /// For the holder of the state only.
    pub(crate) fn set_fast_until(&self, limit: CoarseTime) -> bool {
        self.fast_until.swap(limit.0, Ordering::AcqRel) == 0 && limit.0 > 0
    }

    /// The header value, in the copy of this thread's stripe if there are any.
    #[inline]
    pub(crate) fn header(&self) -> &HeaderValue {
        let Some(copies) = &self.copies else {
            return self.token.header();
        };
        let PaddedHeader(copy) = &copies[stripe()];
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
pub(crate) struct CurrentToken(ArcSwapOption<CachedToken>);

impl CurrentToken {
    /// The token in use, if a glance says that it may be sent.
    pub(crate) fn try_fast(&self) -> Option<Arc<CachedToken>> {
        let live = self.0.load();
        let live = live.as_ref()?;
        live.is_fast_at(CoarseTime::now()).then(|| live.clone())
    }

    /// Replaces the token in use; whoever still holds the old one is told by
    /// its limit to look again.
    pub(crate) fn replace(&self, live: Option<Arc<CachedToken>>) {
        if let Some(old) = self.0.swap(live) {
            old.set_fast_until(CoarseTime::NEVER);
        }
    }
}

/// One service's view of the token in use. A service that is called more than
/// once keeps what it needs to itself: while the token lives, a call reads one
/// shared word that nobody writes.
#[derive(Debug, Default)]
pub(crate) struct TokenReader {
    local: Option<Local>,
    called: bool,
}

#[derive(Debug)]
struct Local {
    live: Arc<CachedToken>,
    header: HeaderValue,
    generation: u64,
}

impl TokenReader {
    /// Hands on the header value and its generation, if a glance suffices.
    #[inline]
    pub(crate) fn try_fast<R>(
        &mut self,
        current: &CurrentToken,
        send: impl FnOnce(&HeaderValue, u64) -> R,
    ) -> Option<R> {
        match &self.local {
            Some(local) if local.live.is_fast_at(CoarseTime::now()) => {
                Some(send(&local.header, local.generation))
            }
            _ => self.reload(current, send),
        }
    }

    #[inline(never)]
    fn reload<R>(
        &mut self,
        current: &CurrentToken,
        send: impl FnOnce(&HeaderValue, u64) -> R,
    ) -> Option<R> {
        self.local = None;
        let live = current.0.load();
        let live = live
            .as_ref()
            .filter(|live| live.is_fast_at(CoarseTime::now()))?;
        if !self.called {
            // Perhaps a clone for this one request: neither worth a copy nor
            // worth counting references where other threads do.
            self.called = true;
            return Some(send(live.header(), live.generation()));
        }
        let local = self.local.insert(Local {
            live: live.clone(),
            header: live.token.copied_header(),
            generation: live.generation(),
        });
        Some(send(&local.header, local.generation))
    }
}

impl Clone for TokenReader {
    /// What one service keeps is not for another, which may be on another
    /// thread.
    fn clone(&self) -> Self {
        Self::default()
    }
}
