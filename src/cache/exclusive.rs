//! Renewal at servers that end the access token in use when they answer a refresh:
//! Spring Authorization Server by default, Ory Hydra, django-oauth-toolkit, Authlib,
//! zitadel and canaille.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::error::{TokenError, TokenErrorKind};

/// Mode of renewal: whether the token in use may be sent while it is being
/// refreshed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Renewal {
    /// It may be sent, until the server turns out to end it: if, at two refreshes,
    /// an API rejects the old token during a refresh that the server may have
    /// processed, or shortly after it, the cache switches to
    /// [`Exclusive`](Self::Exclusive).
    #[default]
    Automatic,
    /// It may not: before a refresh token is sent, the token in use is no longer
    /// handed out, and requests that carry it are waited for, for at most a second.
    /// Requests are counted for that, which costs each about 200 ns.
    Exclusive,
}

/// How long after a refresh a rejection of the old token is attributed to it.
const SHORTLY: Duration = Duration::from_secs(5);

/// How many refreshes have to end the token in use before the server is taken to do
/// so always.
const ENOUGH: u8 = 2;

/// The maximum wait for requests with the token in use.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What a cache knows of its refreshes.
#[derive(Debug, Default)]
pub(crate) struct Exclusivity {
    exclusive: bool,
    /// Whether the token in use is withheld.
    withheld: bool,
    /// How many refreshes in a row were followed by a rejection of the old token.
    ended: u8,
    last: Option<Refresh>,
    /// A generation that was rejected before a refresh, which therefore did not end
    /// it.
    rejected_before: Option<u64>,
}

#[derive(Debug)]
struct Refresh {
    /// The generation of the token that was in use.
    generation: u64,
    answered: bool,
    finished: Option<Instant>,
    /// Whether that token was rejected since.
    rejected: bool,
    counted: bool,
}

impl Refresh {
    fn may_have_ended(&self, generation: u64, now: Instant) -> bool {
        let over = self.finished.is_some_and(|at| now > at + SHORTLY);
        self.generation == generation && !over
    }
}

/// Returns whether the server may have processed a refresh that failed this way: not
/// if it refused, and not if it was never reached. A lost connection counts as not
/// reached, although the server may have read the request: what is missed there is
/// learned from the next refresh.
pub(crate) fn may_have_been_processed(error: &TokenError) -> bool {
    use TokenErrorKind::{Config, Connect, Refused, ShutDown, Unavailable, UnexpectedRedirect};
    match error.kind() {
        Refused | UnexpectedRedirect | Connect | Config | ShutDown => false,
        Unavailable => {
            let status = error.status().map(|status| status.as_u16());
            !matches!(status, Some(408 | 425 | 429))
        }
        _ => true,
    }
}

impl Exclusivity {
    pub(crate) fn new(renewal: Renewal) -> Self {
        Self {
            exclusive: renewal == Renewal::Exclusive,
            ..Self::default()
        }
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    pub(crate) fn is_withheld(&self) -> bool {
        self.withheld
    }

    /// Stops handing out the token in use before a refresh token is sent, if
    /// renewals are exclusive. Returns whether they are.
    pub(crate) fn withhold(&mut self) -> bool {
        self.withheld = self.exclusive;
        self.withheld
    }

    /// Hands the token out again, because no refresh token is sent after all.
    pub(crate) fn hand_out_again(&mut self) {
        self.withheld = false;
    }

    /// Records that a refresh token is sent, while this generation is in use.
    pub(crate) fn start(&mut self, generation: Option<u64>) {
        if let Some(last) = &self.last
            && !last.counted
        {
            // The previous refresh ended nothing.
            self.ended = 0;
        }
        self.withhold();
        let ended_by_it = generation.filter(|it| self.rejected_before != Some(*it));
        self.last = ended_by_it.map(|generation| Refresh {
            generation,
            answered: false,
            finished: None,
            rejected: false,
            counted: false,
        });
    }

    /// Records that the refresh was answered, or failed; `processed`: the server may
    /// have processed it. Returns whether renewals have just become exclusive.
    pub(crate) fn answered(&mut self, processed: bool) -> bool {
        if !processed && let Some(last) = self.last.take() {
            if last.rejected {
                self.rejected_before = Some(last.generation);
            }
            return false;
        }
        let Some(last) = &mut self.last else {
            return false;
        };
        last.answered = true;
        last.rejected && self.count()
    }

    /// Records that the token in use, or its successor, is handed out again. Returns
    /// the same as [`answered`](Self::answered), for a refresh whose answer never
    /// came.
    pub(crate) fn finish(&mut self, now: Instant) -> bool {
        self.withheld = false;
        let Some(last) = &mut self.last else {
            return false;
        };
        // A later fetch that sent no refresh token changes nothing.
        last.finished.get_or_insert(now);
        !last.answered && self.answered(true)
    }

    /// Records that an API rejected this generation. Returns whether renewals have
    /// just become exclusive.
    pub(crate) fn rejected(&mut self, generation: u64, now: Instant) -> bool {
        let blamed = self.last.as_mut();
        let Some(last) = blamed.filter(|last| last.may_have_ended(generation, now)) else {
            self.rejected_before = Some(generation);
            return false;
        };
        last.rejected = true;
        // Until it is answered, it is unknown whether the server has processed it.
        last.answered && self.count()
    }

    /// Counts the last refresh as one that ended the token in use.
    fn count(&mut self) -> bool {
        let Some(last) = self.last.as_mut().filter(|last| !last.counted) else {
            return false;
        };
        if self.exclusive {
            return false;
        }
        last.counted = true;
        self.ended += 1;
        self.exclusive = self.ended >= ENOUGH;
        self.exclusive
    }
}

/// The number of requests that carry a token.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    count: AtomicUsize,
    ended: Notify,
}

/// A request that carries a token whose uses are counted.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Uses>);

impl InUse {
    pub(crate) fn new(uses: &Arc<Uses>) -> Self {
        uses.count.fetch_add(1, Ordering::SeqCst);
        Self(uses.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

impl Uses {
    /// Waits a limited time for all requests that carry the token.
    pub(crate) async fn ended(&self) {
        let all = async {
            loop {
                let ended = self.ended.notified();
                if self.count.load(Ordering::SeqCst) == 0 {
                    return;
                }
                ended.await;
            }
        };
        let _ = timeout(LONGEST_WAIT, all).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_refreshes_in_a_row_that_end_the_old_token_make_renewals_exclusive() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut renewals = Exclusivity::new(Renewal::Automatic);
        renewals.start(Some(1));
        assert!(!renewals.answered(true));
        assert!(!renewals.finish(at(1)));
        assert!(!renewals.rejected(1, at(2)));
        assert!(!renewals.rejected(1, at(2)), "counted once");
        renewals.start(Some(2));
        assert!(!renewals.rejected(2, at(100)));
        assert!(renewals.answered(true), "while it is under way, too");
        assert!(!renewals.finish(at(101)));
        assert!(renewals.is_exclusive() && !renewals.is_withheld());
        renewals.start(Some(3));
        assert!(renewals.is_withheld());
        renewals.finish(at(201));
        assert!(!renewals.is_withheld());
    }

    #[test]
    fn a_refresh_that_the_server_did_not_process_ended_nothing() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut renewals = Exclusivity::new(Renewal::Automatic);
        for n in 0..10 {
            renewals.start(Some(n));
            // During the refresh, after it, or both.
            assert!(n % 3 == 0 || !renewals.rejected(n, at(100 * n)));
            assert!(!renewals.answered(false));
            assert!(!renewals.finish(at(100 * n + 1)));
            assert!(n % 3 == 1 || !renewals.rejected(n, at(100 * n + 2)));
            // Nor is the next refresh of the same token the cause.
            renewals.start(Some(n));
            assert!(!renewals.answered(true));
            assert!(!renewals.finish(at(100 * n + 3)));
            assert!(!renewals.rejected(n, at(100 * n + 4)));
        }
    }

    #[test]
    fn a_login_long_after_a_refresh_makes_nobody_blame_the_refresh() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut renewals = Exclusivity::new(Renewal::Automatic);
        for n in 0..10 {
            renewals.start(Some(n));
            assert!(!renewals.answered(true));
            assert!(!renewals.finish(at(100 * n)));
            assert!(!renewals.finish(at(100 * n + 50)), "of a login");
            assert!(!renewals.rejected(n, at(100 * n + 51)));
        }
    }

    #[test]
    fn a_refresh_whose_answer_never_came_may_have_ended_the_token() {
        let (mut renewals, now) = (Exclusivity::new(Renewal::Automatic), Instant::now());
        for n in 1..=2 {
            renewals.start(Some(n));
            assert!(!renewals.rejected(n, now));
            assert_eq!(renewals.finish(now), n == 2);
        }
    }

    #[test]
    fn what_is_refused_or_never_arrives_was_not_processed() {
        use TokenErrorKind as Kind;
        for (kind, status, processed) in [
            (Kind::Refused, Some(400), false),
            (Kind::Refused, None, false),
            (Kind::Connect, None, false),
            (Kind::UnexpectedRedirect, Some(302), false),
            (Kind::Unavailable, Some(408), false),
            (Kind::Unavailable, Some(425), false),
            (Kind::Unavailable, Some(429), false),
            (Kind::Unavailable, Some(500), true),
            (Kind::Unavailable, Some(504), true),
            (Kind::Unavailable, None, true),
            (Kind::InvalidResponse, Some(200), true),
            (Kind::Timeout, None, true),
            (Kind::Panicked, None, true),
            (Kind::Source, None, true),
        ] {
            let error = TokenError::new(kind, "test");
            let error = match status.and_then(|status| http::StatusCode::from_u16(status).ok()) {
                Some(status) => error.with_response(status, None),
                None => error,
            };
            assert_eq!(
                may_have_been_processed(&error),
                processed,
                "{kind:?} {status:?}"
            );
        }
    }

    #[test]
    fn a_token_rejected_before_its_refresh_was_not_ended_by_it() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut renewals = Exclusivity::new(Renewal::Automatic);
        for n in 0..10 {
            // Of many requests with one token, each is answered 401.
            assert!(!renewals.rejected(n, at(100 * n)));
            renewals.start(Some(n));
            assert!(!renewals.rejected(n, at(100 * n)));
            renewals.finish(at(100 * n + 1));
            assert!(!renewals.rejected(n, at(100 * n + 2)));
        }
    }

    #[test]
    fn a_revocation_now_and_then_does_not() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut renewals = Exclusivity::new(Renewal::Automatic);
        for n in 0..10 {
            renewals.start(Some(n));
            renewals.finish(at(100 * n + 1));
            // At every other refresh, long after one, or of another token.
            assert!(n % 2 == 1 || !renewals.rejected(n, at(100 * n + 2)));
            assert!(!renewals.rejected(n, at(100 * n + 50)));
            assert!(!renewals.rejected(n + 7, at(100 * n + 2)));
        }
    }
}
