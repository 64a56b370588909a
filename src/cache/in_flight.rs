//! The fetch in progress, and its result.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::credentials::CredentialMemory;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::telemetry::FetchedBy;
use crate::token::{RefreshToken, TokenResponse};

/// The fetch in progress, if there is one.
#[derive(Debug, Default)]
pub(crate) struct CurrentFetch {
    current: Option<Box<Current>>,
    count: u64,
}

#[derive(Debug)]
struct Current {
    id: u64,
    /// The origin whose rejection led to the fetch.
    forced_by: Option<OriginId>,
    /// Until when it must make progress. After that it is stalled: its runtime
    /// stands still.
    until: Instant,
    /// Whether it was stalled before, and was given time to continue.
    was_stalled: bool,
}

/// How long a stalled fetch may still take once a caller waits for it again: its
/// runtime may be one that is driven only now and then.
const SECOND_CHANCE: Duration = Duration::from_secs(1);

impl CurrentFetch {
    /// Begins a fetch, which is stalled after `limit` without progress.
    /// Returns its id.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        limit: Duration,
        forced_by: Option<OriginId>,
    ) -> u64 {
        self.count += 1;
        self.current = Some(Box::new(Current {
            id: self.count,
            forced_by,
            until: now + limit,
            was_stalled: false,
        }));
        self.count
    }

    /// Gives the fetch another `limit` from now.
    pub(crate) fn extend(&mut self, id: u64, now: Instant, limit: Duration) {
        if let Some(current) = self.current.as_mut().filter(|it| it.id == id) {
            current.until = now + limit;
            current.was_stalled = false;
        }
    }

    /// Ends the fetch. Returns the origin whose rejection led to it; `None` if it
    /// was abandoned before.
    pub(crate) fn finish(&mut self, id: u64) -> Option<Option<OriginId>> {
        let finished = self.current.take_if(|it| it.id == id)?;
        Some(finished.forced_by)
    }

    /// Returns whether the fetch with this id is in progress, and was not abandoned.
    pub(crate) fn is(&self, id: u64) -> bool {
        self.current.as_ref().is_some_and(|it| it.id == id)
    }

    /// Returns whether to abandon the fetch. A stalled fetch gets a second chance
    /// first.
    pub(crate) fn give_up(&mut self, now: Instant) -> bool {
        match &mut self.current {
            Some(current) if now >= current.until && !current.was_stalled => {
                current.was_stalled = true;
                current.until = now + SECOND_CHANCE;
                false
            }
            Some(current) => now >= current.until,
            None => false,
        }
    }

    /// Returns how long the fetch may still take without progress.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        let left = self.current.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}

/// The result of a fetch, before the state records it.
pub(crate) struct FetchResult {
    pub(crate) answer: Result<TokenResponse, TokenError>,
    /// When its request was about to be sent.
    pub(crate) requested_at: Moment,
    /// How old the token was by then.
    pub(crate) age: Duration,
    /// The generation in the fleet's store, if the token is there.
    pub(crate) store_generation: Option<u64>,
    /// Whether the fleet does not know the token, because its store could not be
    /// reached.
    pub(crate) alone: bool,
    pub(crate) by: FetchedBy,
    /// The pause after a failure.
    pub(crate) pause: Option<Duration>,
    /// The memory of the failure, if all caches with these credentials share it.
    pub(crate) memory: Option<Arc<CredentialMemory>>,
    /// Whether nothing was sent, because the failure was remembered.
    pub(crate) from_memory: bool,
    /// The refresh token that was sent.
    pub(crate) sent: Option<RefreshToken>,
    /// The failure of a login for a token that lives longer than this one, and the
    /// pause after it.
    pub(crate) failed_login: Option<(TokenError, Duration)>,
}

impl FetchResult {
    pub(crate) fn new(answer: Result<TokenResponse, TokenError>, requested_at: Moment) -> Self {
        Self {
            answer,
            requested_at,
            age: Duration::ZERO,
            store_generation: None,
            alone: false,
            by: FetchedBy::Credentials,
            pause: None,
            memory: None,
            from_memory: false,
            sent: None,
            failed_login: None,
        }
    }

    /// Returns the failure that is remembered for these credentials.
    pub(crate) fn remembered(memory: Arc<CredentialMemory>, now: Moment) -> Self {
        let error = memory.blocking(now.monotonic).unwrap_or_else(|| {
            let what = "these credentials failed a moment ago";
            TokenError::new(TokenErrorKind::Unavailable, what)
        });
        Self {
            pause: error.retry_after(),
            memory: Some(memory),
            from_memory: true,
            ..Self::new(Err(error), now)
        }
    }

    pub(crate) fn is_refreshed(&self) -> bool {
        self.by == FetchedBy::RefreshToken
    }

    pub(crate) fn into_refresh_token(self) -> Option<RefreshToken> {
        self.answer.ok()?.take_refresh_token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_stalled_fetch_is_given_up_only_after_a_second_chance() {
        let (mut fetch, start) = (CurrentFetch::default(), Instant::now());
        let id = fetch.begin(start, 10 * SECOND, None);
        assert!(!fetch.give_up(start + 9 * SECOND));
        let day = start + 86_400 * SECOND;
        assert!(!fetch.give_up(day), "somebody waits for it again");
        assert!(!fetch.give_up(day + SECOND / 2));
        assert!(fetch.give_up(day + SECOND));
        fetch.extend(id, day + SECOND, 10 * SECOND);
        assert!(!fetch.give_up(day + 10 * SECOND), "it was heard of");
    }

    #[test]
    fn a_fetch_that_was_given_up_finishes_no_other() {
        let (mut fetch, start) = (CurrentFetch::default(), Instant::now());
        let first = fetch.begin(start, SECOND, None);
        let second = fetch.begin(start, SECOND, Some(OriginId::new(7)));
        assert!(fetch.finish(first).is_none());
        assert_eq!(fetch.finish(second), Some(Some(OriginId::new(7))));
        assert!(fetch.finish(second).is_none());
    }
}
