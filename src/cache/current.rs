//! What the hot path reads: the token in use, and the window in which the coarse
//! clock alone shows that it may be sent.
//!
//! A [`CachedToken`] never changes except for that window, which is empty once the
//! token was replaced. So the holder of one, however old, learns by one load whether
//! it may still be sent.

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
    /// The origin whose rejection of the previous token led to this one.
    pub(crate) forced_by: Option<OriginId>,
    /// The requests that carry it, if they are counted.
    pub(crate) uses: Option<Arc<Uses>>,
    /// The start of the window in which the coarse clock alone suffices.
    fast_from: AtomicU64,
    /// `None` for one of many accounts, where copies would be most of the memory.
    copies: Option<Box<[PaddedHeader; STRIPES]>>,
}

/// A copy of the header value with its own bytes, and so its own reference count, on
/// its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct PaddedHeader(OnceLock<HeaderValue>);

/// How many threads can count references without contention.
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

    /// Returns the same token as a new value whose uses are counted.
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

    /// Returns this token with its uses counted.
    pub(crate) fn counted(mut self) -> Self {
        self.uses = Some(Arc::default());
        self
    }

    /// Returns this token prepared for many threads at once.
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

    /// Returns whether the token may be sent without a lookup.
    #[inline]
    pub(crate) fn is_fast_at(&self, now: CoarseTime) -> bool {
        now.0.wrapping_sub(self.fast_from.load(Ordering::Acquire)) < FAST_WINDOW
    }

    /// Returns whether the sender of this token should report the outcome. No
    /// request takes the fast path then.
    pub(crate) fn wants_outcome(&self) -> bool {
        self.fast_from.load(Ordering::Acquire) == CoarseTime::NEVER.0
    }

    /// Sets the start of the fast window. Only for the holder of the state.
    pub(crate) fn set_fast_from(&self, start: CoarseTime) {
        self.fast_from.store(start.0, Ordering::Release);
    }

    /// Returns how long the token may be sent from `now`, if its end is known.
    pub(crate) fn remaining(&self, now: &Moment) -> Option<Duration> {
        let expired = self.schedule.expired?;
        Some(expired.saturating_sub(now.since(&self.requested_at)))
    }

    pub(crate) fn freshness(&self, now: &Moment) -> Freshness {
        self.schedule.freshness(now.since(&self.requested_at))
    }

    /// Returns the header value, from this thread's copy if there are copies.
    #[inline]
    pub(crate) fn header(&self) -> &HeaderValue {
        let Some(copies) = &self.copies else {
            return self.token.header();
        };
        let PaddedHeader(copy) = &copies[stripe()];
        copy.get_or_init(|| self.token.copied_header())
    }
}

/// Returns this thread's stripe.
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

/// The token in use, which any thread can read without a lock.
#[derive(Debug, Default)]
pub(crate) struct CurrentToken(ArcSwapOption<CachedToken>);

impl CurrentToken {
    /// Returns the token in use, if it may be sent without a lookup.
    pub(crate) fn try_fast(&self) -> Option<Arc<CachedToken>> {
        let live = self.0.load();
        let live = live.as_ref()?;
        live.is_fast_at(CoarseTime::now()).then(|| live.clone())
    }

    /// Replaces the token in use. The holders of the old one learn from its window
    /// that a lookup is due.
    pub(crate) fn replace(&self, live: Option<Arc<CachedToken>>) {
        if let Some(old) = self.0.swap(live) {
            old.set_fast_from(CoarseTime::NEVER);
        }
    }
}

/// One service's view of the token in use. A service that is called more than once
/// keeps its own copy: while the token is valid, a call reads one shared word that
/// is not written.
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

/// The token that a request carries, and its cache. The cache is known by its id,
/// because holding it would mean counting references on every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) cache: u64,
    pub(crate) generation: u64,
}

impl TokenReader {
    /// Passes the header value and its generation to `send`, if no lookup is due.
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

    /// Makes every call do a lookup, until it is resumed.
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
        // The copy of the token in use stays while its window is renewed.
        if !matches!((&self.local, live.as_ref()), (Some(local), Some(live)) if Arc::ptr_eq(&local.live, live))
        {
            self.local = None;
        }
        let live = live
            .as_ref()
            .filter(|live| live.is_fast_at(CoarseTime::now()))?;
        if !self.called {
            // Perhaps a clone for this one request: neither worth a copy nor worth
            // counting references on which other threads contend.
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
    /// Returns a reader without a copy, because the clone may be on another thread.
    fn clone(&self) -> Self {
        Self::default()
    }
}
