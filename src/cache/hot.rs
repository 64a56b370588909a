//! What a request needs of one of many accounts, for whoever keeps accounts to hold
//! beside the key: so finding the account is finding its token.
//!
//! A [`HotToken`] is a copy, which does not change when the cache does. So it is
//! good until two limits: a time, after which the token is due, and the next change
//! of the cache's [version](version_of), which every cache with the same remainder
//! of its id has in common. Caches of one account each have more than 2^10 numbers
//! to share where there are many, and a renewal is rare: what a change of another
//! cache costs is one look-up.

use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderValue;

use crate::cache::clock::CoarseLimit;
use crate::cache::current::Carried;
use crate::cache::schedule::Freshness;
use crate::cache::shared::Shared;

/// A token that may be sent without a lookup, while it [is
/// valid](HotToken::is_valid).
#[derive(Debug)]
pub(crate) struct HotToken {
    pub(crate) header: HeaderValue,
    pub(crate) carried: Carried,
    limit: CoarseLimit,
    version: u32,
}

impl HotToken {
    /// Whether the token is still the one in use, and not due.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        version_of(self.carried.cache).load(Ordering::Acquire) == self.version
            && self.limit.is_ahead()
    }
}

/// How many versions there are: 4 KiB of them.
const VERSIONS: usize = 1024;

static ALL: [AtomicU32; VERSIONS] = [const { AtomicU32::new(0) }; VERSIONS];

/// The version of a cache: another one when a hot token of it, or of a cache that
/// shares the version, is not valid any more.
#[inline]
fn version_of(cache_id: u64) -> &'static AtomicU32 {
    &ALL[cache_id as usize % VERSIONS]
}

/// Ends the hot tokens of this cache. Called when the token was replaced or
/// withdrawn, before anybody is told.
pub(crate) fn end_hot_tokens(cache_id: u64) {
    version_of(cache_id).fetch_add(1, Ordering::Release);
}

impl Shared {
    /// Returns the token in use for others to hold, if it is fresh and nobody has to
    /// hear how it fares.
    pub(crate) fn hot_token(&self) -> Option<HotToken> {
        if !self.settings.clock.has_coarse_clock() {
            return None;
        }
        self.with_state(|state, now| {
            let quiet = state.quiet_for(now);
            let live = state.live.as_ref()?;
            if live.freshness(now) != Freshness::Fresh {
                return None;
            }
            let limit = CoarseLimit::after(quiet)?;
            let hot = HotToken {
                header: live.header().clone(),
                carried: live.carried(),
                limit,
                // Under the lock, under which it changes.
                version: version_of(self.cache_id).load(Ordering::Acquire),
            };
            state.has_hot_token = true;
            Some(hot)
        })
    }
}
