//! What the hot path reads: the token in use, and from when to when the coarse
//! clock alone says that it may be sent.
//!
//! A [`CachedToken`] never changes but for that window, which no time lies in
//! once the token was replaced. So whoever holds one, however old, learns by one
//! load whether it may still be sent.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::HeaderValue;

use crate::cache::clock::{CoarseTime, FAST_WINDOW, Moment};
use crate::cache::exclusive::Uses;
use crate::cache::schedule::{Freshness, Schedule};
use crate::origins::OriginId;
use crate::sync::model::{Arc, ArcSwapOption, AtomicU64, Ordering};
use crate::telemetry::FetchedBy;
use crate::token::AccessToken;

/// A token in use.
#[derive(Debug)]
pub(crate) struct CachedToken {
    pub(crate) token: AccessToken,
    /// The id of its cache.
    cache: u64,
    /// When its request was about to be sent.
    pub(crate) requested_at: Moment,
    pub(crate) schedule: Schedule,
    pub(crate) by: FetchedBy,
    /// The origin whose rejection of the token before led to this one.
    pub(crate) forced_by: Option<OriginId>,
    /// Requests that carry it, where they are counted.
    pub(crate) uses: Option<Arc<Uses>>,
    /// The start of the window in which the coarse clock alone will do.
    fast_from: AtomicU64,
    /// None for one of many accounts: they would be most of its memory.
    copies: Option<Box<[PaddedHeader; STRIPES]>>,
}

/// A copy of the header value with bytes, and so a reference count, of its own,
/// on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct PaddedHeader(OnceLock<HeaderValue>);

/// How many threads can count references without getting in each other's way.
const STRIPES: usize = 8;

impl CachedToken {
    pub(crate) fn new(
        token: AccessToken,
        cache: u64,
        requested_at: Moment,
        schedule: Schedule,
        by: FetchedBy,
        forced_by: Option<OriginId>,
    ) -> Self {
        Self {
            token,
            cache,
            requested_at,
            schedule,
            by,
            forced_by,
            uses: None,
            fast_from: AtomicU64::new(CoarseTime::NEVER.0),
            copies: None,
        }
    }

    /// The same token as another one whose uses are counted.
    pub(crate) fn recounted(&self) -> Self {
        Self::new(
            self.token.clone(),
            self.cache,
            self.requested_at,
            self.schedule,
            self.by,
            self.forced_by,
        )
        .counted()
    }

    /// The same, with its uses counted.
    pub(crate) fn counted(mut self) -> Self {
        self.uses = Some(Arc::default());
        self
    }

    /// The same for many threads at once.
    pub(crate) fn striped(mut self) -> Self {
        self.copies = Some(Box::default());
        self
    }

    pub(crate) fn generation(&self) -> u64 {
        self.token.generation()
    }

    pub(crate) fn carried(&self) -> Carried {
        Carried {
            cache: self.cache,
            generation: self.generation(),
        }
    }

    /// Whether the token may be sent without a lookup.
    #[inline]
    pub(crate) fn is_fast_at(&self, now: CoarseTime) -> bool {
        now.0.wrapping_sub(self.fast_from.load(Ordering::Acquire)) < FAST_WINDOW
    }

    /// Whether whoever sends this token should report how it fared. No request
    /// takes the fast path then.
    pub(crate) fn wants_outcome(&self) -> bool {
        self.fast_from.load(Ordering::Acquire) == CoarseTime::NEVER.0
    }

    /// Sets the start of the fast window. For the holder of the state only.
    pub(crate) fn set_fast_from(&self, start: CoarseTime) {
        self.fast_from.store(start.0, Ordering::Release);
    }

    /// How long the token may be sent from `now` on, if its end is known.
    pub(crate) fn remaining(&self, now: &Moment) -> Option<Duration> {
        let expired = self.schedule.expired?;
        Some(expired.saturating_sub(now.since(&self.requested_at)))
    }

    pub(crate) fn freshness(&self, now: &Moment) -> Freshness {
        self.schedule.freshness(now.since(&self.requested_at))
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
    /// The token in use, if it may be sent without a lookup.
    pub(crate) fn try_fast(&self) -> Option<Arc<CachedToken>> {
        let live = self.0.load();
        let live = live.as_ref()?;
        live.is_fast_at(CoarseTime::now()).then(|| live.clone())
    }

    /// Replaces the token in use. Whoever still holds the old one learns from its
    /// window that a lookup is due.
    pub(crate) fn replace(&self, live: Option<Arc<CachedToken>>) {
        if let Some(old) = self.0.swap(live) {
            old.set_fast_from(CoarseTime::NEVER);
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
    suspended: bool,
}

#[derive(Debug)]
struct Local {
    live: Arc<CachedToken>,
    header: HeaderValue,
    carried: Carried,
}

/// Which token a request carries, and of which cache. The cache is known by its
/// id: holding it would mean to count references on every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) cache: u64,
    pub(crate) generation: u64,
}

impl TokenReader {
    /// Hands on the header value and its generation, if no lookup is due.
    #[inline]
    pub(crate) fn try_fast<R>(
        &mut self,
        current: &CurrentToken,
        send: impl FnOnce(&HeaderValue, Carried) -> R,
    ) -> Option<R> {
        match &self.local {
            Some(local) if local.live.is_fast_at(CoarseTime::now()) => {
                Some(send(&local.header, local.carried))
            }
            _ => self.reload(current, send),
        }
    }

    /// Has every call make a lookup, until it is resumed.
    pub(crate) fn suspend(&mut self, suspended: bool) {
        self.suspended = suspended;
        if suspended {
            self.local = None;
        }
    }

    #[inline(never)]
    fn reload<R>(
        &mut self,
        current: &CurrentToken,
        send: impl FnOnce(&HeaderValue, Carried) -> R,
    ) -> Option<R> {
        if self.suspended {
            return None;
        }
        let live = current.0.load();
        // What is kept of the token in use stays while its window is renewed.
        if !matches!((&self.local, live.as_ref()), (Some(local), Some(live)) if Arc::ptr_eq(&local.live, live))
        {
            self.local = None;
        }
        let live = live
            .as_ref()
            .filter(|live| live.is_fast_at(CoarseTime::now()))?;
        if !self.called {
            // Perhaps a clone for this one request: neither worth a copy nor
            // worth counting references where other threads do.
            self.called = true;
            return Some(send(live.header(), live.carried()));
        }
        let local = self.local.get_or_insert_with(|| Local {
            live: live.clone(),
            header: live.token.copied_header(),
            carried: live.carried(),
        });
        Some(send(&local.header, local.carried))
    }
}

impl Clone for TokenReader {
    /// What one service keeps is not for another, which may be on another
    /// thread.
    fn clone(&self) -> Self {
        Self::default()
    }
}
