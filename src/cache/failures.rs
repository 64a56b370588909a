//! Failures, and how long they hold fetches back.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::schedule;
use crate::cache::settings::Settings;
use crate::error::{TokenError, TokenErrorKind};

/// What has gone wrong since the last token.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<Box<Failure>>);

#[derive(Debug)]
struct Failure {
    error: TokenError,
    counts: Counts,
    until: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Failures in a row that may pass by themselves.
    failures: u32,
    /// Refusals since the last token. What passes by itself undoes none.
    refusals: u32,
}

impl Failures {
    /// How long fetches are still held back.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The last failure, while it holds fetches back.
    pub(crate) fn blocking(&self, now: Instant) -> Option<TokenError> {
        let left = self.backoff_left(now)?;
        let error = self.last_error()?.clone();
        Some(error.with_retry_after(Some(left)))
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.counts.refusals > 0)
    }

    pub(crate) fn last_error(&self) -> Option<&TokenError> {
        self.0.as_ref().map(|trouble| &trouble.error)
    }

    /// Enters a failure, with its pause.
    pub(crate) fn record(
        &mut self,
        error: TokenError,
        pause: Duration,
        now: &Moment,
    ) -> TokenError {
        self.0 = Some(Box::new(Failure {
            error: error.clone(),
            counts: self.counts_with(&error),
            until: now.monotonic + pause,
        }));
        error.with_retry_after(Some(pause))
    }

    /// The pause that this failure calls for if it is the next one.
    pub(crate) fn pause(&self, error: &TokenError, settings: &Settings, random: f64) -> Duration {
        let counts = self.counts_with(error);
        let refused = is_refusal(error);
        let count = if refused {
            counts.refusals
        } else {
            counts.failures
        };
        schedule::pause(settings, refused, count, error.retry_after(), random)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    fn counts_with(&self, error: &TokenError) -> Counts {
        let Counts { failures, refusals } = self.0.as_ref().map(|it| it.counts).unwrap_or_default();
        if is_refusal(error) {
            Counts {
                failures: 0,
                refusals: refusals.saturating_add(1),
            }
        } else {
            Counts {
                failures: failures.saturating_add(1),
                refusals,
            }
        }
    }
}

fn is_refusal(error: &TokenError) -> bool {
    error.kind() == TokenErrorKind::Refused
}
