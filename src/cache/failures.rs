//! Failures of token requests: what each means, and how long it delays the next
//! attempt.

use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::schedule::{self, FailureClass};
use crate::cache::settings::Settings;
use crate::error::{TokenError, TokenErrorKind};

/// Classifies a failure by whether the credentials were answered, not by the words:
/// a server that says "wrong password" with a 200 or a page counts the attempt all
/// the same.
pub(crate) fn classify(error: &TokenError) -> FailureClass {
    use TokenErrorKind::{InvalidResponse, Refused, Unavailable, UnexpectedRedirect};
    let status = error.status().map(|status| status.as_u16());
    match (error.kind(), status) {
        // The source asks another cache, which remembers its own failures.
        _ if error.is_of_cache() => FailureClass::Unanswered,
        (Refused, _) => FailureClass::Refused,
        // Without a status no token endpoint answered: a source of the user's made a
        // token that cannot be sent.
        (InvalidResponse | UnexpectedRedirect, Some(_)) => FailureClass::Refused,
        (Unavailable, Some(408 | 425)) => FailureClass::Unanswered,
        (Unavailable, Some(_)) => FailureClass::Deferred,
        _ => FailureClass::Unanswered,
    }
}

/// Returns whether a request that failed this way is retried once before its waiters
/// are told: nothing was wrong with it, and the retry often succeeds.
pub(crate) fn is_worth_another_attempt(error: &TokenError) -> bool {
    let status = error.status().map(|status| status.as_u16());
    match error.kind() {
        TokenErrorKind::Connect => true,
        TokenErrorKind::Unavailable => matches!(status, Some(502..=504)),
        _ => false,
    }
}

/// What a failure is remembered for, whichever cache makes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The credentials, whatever they are sent for.
    Credentials,
    /// The credentials with what they are sent for, which another cache with the
    /// same credentials need not ask for.
    Request,
}

/// Returns what a failure is remembered for; `None`: only for the cache that met it.
/// `locks`: a person's account may be locked.
pub(crate) fn about(error: &TokenError, locks: bool) -> Option<About> {
    match classify(error) {
        FailureClass::Refused => Some(match error.oauth_error() {
            Some("invalid_scope" | "invalid_target" | "access_denied") => About::Request,
            _ => About::Credentials,
        }),
        FailureClass::Deferred => locks.then_some(About::Credentials),
        FailureClass::Unanswered => None,
    }
}

/// How often each class occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureCounts {
    /// Since the last token. Transient failures do not reset it.
    pub(crate) refused: u32,
    /// In a row.
    pub(crate) deferred: u32,
    /// In a row.
    pub(crate) unanswered: u32,
}

impl FailureCounts {
    pub(crate) fn with(self, class: FailureClass) -> Self {
        let Self {
            refused,
            deferred,
            unanswered,
        } = self;
        match class {
            FailureClass::Refused => Self {
                refused: refused.saturating_add(1),
                ..Self::default()
            },
            FailureClass::Deferred => Self {
                deferred: deferred.saturating_add(1),
                ..self
            },
            FailureClass::Unanswered => Self {
                unanswered: unanswered.saturating_add(1),
                ..self
            },
        }
    }

    /// Joins two counts: the one with more refusals knows better what came after the
    /// last of them.
    fn merged(self, other: Self) -> Self {
        match self.refused.cmp(&other.refused) {
            Ordering::Greater => self,
            Ordering::Less => other,
            Ordering::Equal => Self {
                refused: self.refused,
                deferred: self.deferred.max(other.deferred),
                unanswered: self.unanswered.max(other.unanswered),
            },
        }
    }

    pub(crate) fn of(&self, class: FailureClass) -> u32 {
        match class {
            FailureClass::Refused => self.refused,
            FailureClass::Deferred => self.deferred,
            FailureClass::Unanswered => self.unanswered,
        }
    }
}

/// The failures since the last token.
#[derive(Debug, Default)]
pub(crate) struct Failures(Option<Box<Failure>>);

#[derive(Debug)]
struct Failure {
    error: TokenError,
    counts: FailureCounts,
    recorded: Instant,
    until: Instant,
}

impl Failures {
    /// Returns how long a failure of the same class still applies that was recorded
    /// after `began`. An attempt that began then adds nothing to it.
    pub(crate) fn pause_since(
        &self,
        error: &TokenError,
        began: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let last = self.0.as_ref()?;
        let is_same = last.recorded > began && classify(&last.error) == classify(error);
        is_same.then(|| self.backoff_left(now)).flatten()
    }

    /// Returns how long the next attempt has to wait.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Returns the last failure, while the next attempt has to wait.
    pub(crate) fn blocking(&self, now: Instant) -> Option<TokenError> {
        let left = self.backoff_left(now)?;
        let error = self.last_error()?.clone();
        Some(error.with_retry_after(Some(left)))
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.counts().refused > 0
    }

    pub(crate) fn is_clear(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn last_error(&self) -> Option<&TokenError> {
        self.0.as_ref().map(|failure| &failure.error)
    }

    pub(crate) fn counts(&self) -> FailureCounts {
        self.0.as_ref().map(|it| it.counts).unwrap_or_default()
    }

    /// Records a failure, with its pause.
    pub(crate) fn record(
        &mut self,
        error: &TokenError,
        pause: Duration,
        now: &Moment,
    ) -> TokenError {
        self.0 = Some(Box::new(Failure {
            error: error.clone(),
            counts: self.counts().with(classify(error)),
            recorded: now.monotonic,
            until: now.monotonic + pause,
        }));
        error.clone().with_retry_after(Some(pause))
    }

    /// Takes over another process's counts, and the last failure that it knows,
    /// which applies until then.
    pub(crate) fn adopt(&mut self, error: &TokenError, counts: FailureCounts, until: Instant) {
        let counts = self.counts().merged(counts);
        match &mut self.0 {
            Some(own) if own.until > until => own.counts = counts,
            _ => {
                self.0 = Some(Box::new(Failure {
                    error: error.clone(),
                    counts,
                    recorded: Instant::now(),
                    until,
                }));
            }
        }
    }

    /// Returns the pause that this failure requires if it is the next one. `locks`:
    /// it may lock a person's account.
    pub(crate) fn pause(
        &self,
        error: &TokenError,
        locks: bool,
        settings: &Settings,
        random: f64,
    ) -> Duration {
        let class = classify(error);
        let count = self.counts().with(class).of(class);
        // Another cache answers from its memory, and may have a token sooner.
        let asked = error.retry_after().filter(|_| !error.is_of_cache());
        schedule::pause(settings, class, locks, count, asked, random)
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn error(kind: TokenErrorKind, status: Option<u16>) -> TokenError {
        let error = TokenError::new(kind, "test");
        match status.and_then(|status| StatusCode::from_u16(status).ok()) {
            Some(status) => error.with_response(status, None),
            None => error,
        }
    }

    #[test]
    fn what_answers_credentials_without_a_token_refuses_them() {
        use FailureClass::{Deferred, Refused, Unanswered};
        use TokenErrorKind as Kind;
        for (kind, status, class, again) in [
            (Kind::Refused, Some(400), Refused, false),
            (Kind::Refused, None, Refused, false),
            (Kind::InvalidResponse, Some(200), Refused, false),
            (Kind::InvalidResponse, None, Unanswered, false),
            (Kind::UnexpectedRedirect, Some(302), Refused, false),
            (Kind::Unavailable, Some(408), Unanswered, false),
            (Kind::Unavailable, Some(425), Unanswered, false),
            (Kind::Unavailable, Some(429), Deferred, false),
            (Kind::Unavailable, Some(500), Deferred, false),
            (Kind::Unavailable, Some(502), Deferred, true),
            (Kind::Unavailable, Some(503), Deferred, true),
            (Kind::Unavailable, Some(504), Deferred, true),
            (Kind::Connect, None, Unanswered, true),
            (Kind::Timeout, None, Unanswered, false),
            (Kind::Panicked, None, Unanswered, false),
            (Kind::Source, None, Unanswered, false),
            (Kind::Config, None, Unanswered, false),
        ] {
            let error = error(kind, status);
            assert_eq!(classify(&error), class, "{kind:?} {status:?}");
            assert_eq!(
                is_worth_another_attempt(&error),
                again,
                "{kind:?} {status:?}"
            );
        }
    }

    #[test]
    fn what_is_passing_undoes_no_refusal() {
        use FailureClass::{Deferred, Refused, Unanswered};
        let counts = [Refused, Deferred, Unanswered, Unanswered, Refused]
            .into_iter()
            .fold(FailureCounts::default(), FailureCounts::with);
        assert_eq!(
            (counts.refused, counts.deferred, counts.unanswered),
            (2, 0, 0)
        );
    }

    #[test]
    fn what_another_process_counted_is_taken_over() {
        let counts = |refused, deferred| FailureCounts {
            refused,
            deferred,
            unanswered: 0,
        };
        let refused = error(TokenErrorKind::Refused, Some(401));
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut failures = Failures::default();
        failures.adopt(&refused, counts(2, 0), now);
        assert_eq!(failures.counts(), counts(2, 0));
        assert!(failures.blocking(now).is_none() && failures.is_refused());
        failures.adopt(&refused, counts(1, 5), now + 9 * second);
        assert_eq!(failures.counts(), counts(2, 0), "of an earlier time");
        assert_eq!(failures.backoff_left(now), Some(9 * second));
        failures.adopt(&refused, counts(3, 1), now + second);
        assert_eq!(failures.counts(), counts(3, 1));
        let left = failures.backoff_left(now);
        assert_eq!(left, Some(9 * second), "the later end counts");
    }
}
