//! What a request needs of one of many accounts, to be stored with the account's
//! key: so finding the account is finding its token.
//!
//! A [`HotToken`] is a copy, which does not change when the cache does. So it is
//! valid until two limits: a time, after which the token is due, and the next change
//! of the cache's [version](version::of). Its holder drops it when the source is
//! [told](crate::source::DynTokenSource::token_changed) of that change.

use http::HeaderValue;

use crate::cache::clock::{CoarseLimit, CoarseSeconds};
use crate::cache::current::Carried;
use crate::cache::schedule::Freshness;
use crate::cache::shared::Shared;
use crate::cache::version;

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
    /// Returns whether the token is still the one in use, and not due.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        version::of(self.carried.cache).current() == self.version && self.limit.is_ahead()
    }
}

impl Shared {
    /// Returns a copy of the token in use, if it is fresh and no outcome has to be
    /// reported.
    pub(crate) fn hot_token(&self) -> Option<HotToken> {
        if !self.settings.clock.has_coarse_clock() {
            return None;
        }
        // Before the state's clocks: see `CoarseLimit::after`.
        let start = CoarseSeconds::now();
        self.with_state(|state, now| {
            let quiet = state.quiet_for(now);
            let live = state.live.as_ref()?;
            if live.freshness(now) != Freshness::Fresh {
                return None;
            }
            let limit = CoarseLimit::after(start, quiet)?;
            let hot = HotToken {
                header: live.header().clone(),
                carried: live.carried(),
                limit,
                // Read under the lock, under which it changes.
                version: version::of(self.cache_id).current(),
            };
            state.has_hot_token = true;
            Some(hot)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::cache::{Renewal, TokenCache, TokenCacheBuilder};
    use crate::error::TokenError;
    use crate::origins::OriginId;
    use crate::token::AccessToken;

    const HOUR: Duration = Duration::from_secs(3600);
    const ORIGIN: OriginId = OriginId::new(7);

    type Change = fn(TokenCacheBuilder) -> TokenCacheBuilder;

    async fn cache(lifetime: Duration, change: Change) -> TokenCache {
        let source = move || async move {
            let token = AccessToken::new("t")?;
            Ok::<_, TokenError>(token.with_lifetime(lifetime))
        };
        let tokens = change(TokenCache::builder(source)).build();
        let tokens = tokens.expect("settings");
        tokens.token().await.expect("a token");
        tokens
    }

    #[tokio::test]
    async fn a_token_is_for_others_to_hold_if_nobody_has_to_look_at_each_request() {
        let as_it_is: Change = |builder| builder;
        let exclusive: Change = |builder| builder.renewal(Renewal::Exclusive);
        let own_clock: Change = |builder| builder.wall_clock(SystemTime::now);
        for (what, lifetime, change, is_hot) in [
            ("live", HOUR, as_it_is, true),
            (
                "due within a second",
                Duration::from_secs(1),
                as_it_is,
                false,
            ),
            ("its uses are counted", HOUR, exclusive, false),
            ("another clock", HOUR, own_clock, false),
        ] {
            let tokens = cache(lifetime, change).await;
            let hot = tokens.shared.hot_token();
            assert_eq!(hot.is_some_and(|hot| hot.is_valid()), is_hot, "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_token_is_for_others_to_hold_where_time_is_paused() {
        let tokens = cache(HOUR, |builder| builder).await;
        assert!(tokens.shared.hot_token().is_none());
    }

    #[tokio::test]
    async fn no_copy_is_valid_once_the_token_is_not_in_use() {
        type Change = fn(&Shared);
        let changes: [(&str, Change, bool); 4] = [
            ("nothing", |it| it.with_state(|_, _| {}), true),
            ("accepted", |it| it.accepted(1, ORIGIN, false), true),
            (
                "given up",
                |it| it.with_state(|state, _| state.invalidate()),
                false,
            ),
            (
                "shut down",
                |it| it.with_state(|state, _| state.close()),
                false,
            ),
        ];
        for (what, change, stays) in changes {
            let tokens = cache(HOUR, |builder| builder).await;
            let copies = [tokens.shared.hot_token(), tokens.shared.hot_token()];
            change(&tokens.shared);
            for copy in copies {
                let copy = copy.expect("a fresh token");
                assert_eq!(copy.is_valid(), stays, "{what}");
            }
        }
    }

    #[tokio::test]
    async fn a_copy_of_a_token_that_was_replaced_is_not_valid_though_it_was_made_late() {
        let tokens = cache(HOUR, |builder| builder).await;
        for _ in 0..3 {
            let copies = [tokens.shared.hot_token(), tokens.shared.hot_token()];
            tokens.invalidate();
            tokens.token().await.expect("a token");
            let next = tokens.shared.hot_token().expect("a fresh token");
            for copy in copies {
                assert!(!copy.expect("a fresh token").is_valid());
            }
            assert!(next.is_valid());
        }
    }
}
