//! What the cache knows of its fleet: which token is the fleet's, and when to call
//! the store.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::state::State;
use crate::store::Acquire;

impl State {
    /// Returns the request to the fleet's store.
    pub(crate) fn acquire(&mut self, lease: Duration) -> Acquire {
        let suspected = matches!((&self.live, self.rare.suspect),
            (Some(live), Some((suspect, _))) if live.generation() == suspect);
        Acquire {
            newer_than: self.rare.store_generation,
            rejected: self.invalidated.is_some() || suspected,
            ignore_failure: std::mem::take(&mut self.ignore_failures),
            lease,
            ..Acquire::default()
        }
    }

    /// Returns whether the fleet does not know the token in use.
    pub(crate) fn is_alone(&self) -> bool {
        self.rare.alone && !self.closed
    }

    pub(crate) fn store_generation(&self) -> u64 {
        self.rare.store_generation
    }

    /// Records that the token in use is the fleet's, with this generation in its
    /// store.
    pub(crate) fn handed_over(&mut self, generation: u64) {
        self.rare.store_generation = generation;
        self.rare.alone = false;
    }

    /// Returns whether to look for another process's token, while this one may not
    /// fetch.
    pub(crate) fn may_peek(&mut self, now: Instant) -> bool {
        let pause = self.backoff_left(now).filter(|_| !self.closed);
        let since = self
            .rare
            .peeked_at
            .map(|at| now.saturating_duration_since(at));
        if !pause.is_some_and(|left| is_peek_due(left, since)) {
            return false;
        }
        self.rare.peeked_at = Some(now);
        true
    }

    /// Returns whether to leave the refresh token in the fleet's store unused.
    pub(crate) fn take_discard_stored(&mut self) -> bool {
        self.rare.discard_stored && std::mem::take(&mut self.rare.discard_stored)
    }
}

/// Returns whether to read the store while no fetch may be made for `left` and it
/// was last read `since` ago: after a twentieth of the pause, but between 1 and 30
/// seconds.
fn is_peek_due(left: Duration, since: Option<Duration>) -> bool {
    let every = (left / 20).clamp(Duration::from_secs(1), Duration::from_secs(30));
    since.is_none_or(|since| since >= every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_read_now_and_then_in_a_long_pause() {
        for (left, since, due) in [
            (60, None, true),
            (60, Some(2), false),
            (60, Some(3), true),
            (5, Some(0), false),
            (5, Some(1), true),
            (21_600, Some(29), false),
            (21_600, Some(30), true),
        ] {
            let secs = Duration::from_secs;
            let is_due = is_peek_due(secs(left), since.map(secs));
            assert_eq!(is_due, due, "{left} {since:?}");
        }
    }
}
