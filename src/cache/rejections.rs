//! Rejections: what follows when an API rejects a token.
//!
//! A rejection says that a token was rejected at an origin, not why. The caller that
//! met it needs a newer token; all others keep using the current one. If the fresh
//! token is rejected as well, renewing did not help, and each further renewal for
//! that origin is backed off for longer. The first success there clears the backoff,
//! because the API accepts tokens again. If successes and fruitless renewals
//! alternate (one route of the API answers 401 for other reasons), a success proves
//! nothing any more, and only a replay that helped, or a long quiet time, resets it.

use std::time::Duration;

use tokio::time::Instant;

use crate::cache::settings::Backoff;
use crate::origins::OriginId;

/// The maximum number of origins that are told apart. The least recently seen is
/// forgotten.
const CAPACITY: usize = 32;

/// What is known of the origins that rejected a token.
#[derive(Debug, Default)]
pub(crate) struct Rejections(Vec<Origin>);

#[derive(Debug)]
struct Origin {
    id: OriginId,
    backoff: RejectionBackoff,
    /// The generation that was last accepted.
    accepted: u64,
    /// The generation whose rejection was counted as a fruitless renewal.
    counted: u64,
    /// Whether a token from a refresh was accepted.
    takes_refreshed: bool,
    /// Whether a token from a login was rejected while fresh.
    rejects_logins: bool,
}

impl Origin {
    fn new(id: OriginId) -> Self {
        Self {
            id,
            backoff: RejectionBackoff::default(),
            accepted: 0,
            counted: 0,
            takes_refreshed: false,
            rejects_logins: false,
        }
    }
}

/// The properties of a token that its rejection depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejected {
    pub(crate) generation: u64,
    /// The origin whose rejection led to this token, if one did.
    pub(crate) forced_by: Option<OriginId>,
    /// Whether it came from a refresh.
    pub(crate) refreshed: bool,
    /// Whether an earlier acceptance by the origin does not count: the request was a
    /// replay, or the rejection was in the body.
    pub(crate) unproven: bool,
}

/// What follows from a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether a newer token may be fetched.
    pub(crate) renew: bool,
    /// Whether to discard the refresh token: the tokens that it yields are rejected,
    /// and those of a login may not be.
    pub(crate) log_in: bool,
}

impl Rejections {
    fn origin(&mut self, id: OriginId) -> &mut Origin {
        let at = match self.0.iter().position(|origin| origin.id == id) {
            Some(at) => at,
            None => {
                if self.0.len() >= CAPACITY {
                    self.0.remove(0);
                }
                self.0.push(Origin::new(id));
                self.0.len() - 1
            }
        };
        &mut self.0[at]
    }

    /// Decides on a rejection of the token in use at this origin.
    pub(crate) fn rejected(
        &mut self,
        id: OriginId,
        token: Rejected,
        now: Instant,
        backoff: &Backoff,
    ) -> Verdict {
        let origin = self.origin(id);
        if origin.backoff.left(now).is_some() {
            return Verdict {
                renew: false,
                log_in: false,
            };
        }
        let unproven = token.unproven || origin.accepted != token.generation;
        let fruitless = token.forced_by == Some(id) && unproven;
        let log_in =
            unproven && token.refreshed && !origin.takes_refreshed && !origin.rejects_logins;
        if unproven && !token.refreshed {
            origin.rejects_logins = fruitless;
        }
        if fruitless && origin.counted != token.generation {
            origin.counted = token.generation;
            origin.backoff.fruitless(now, backoff);
            return Verdict {
                renew: false,
                log_in,
            };
        }
        Verdict {
            renew: true,
            log_in,
        }
    }

    /// Records that the origin accepted a token; `replayed`: in a replay, with the
    /// token of a renewal that this origin's rejection forced.
    pub(crate) fn accepted(
        &mut self,
        id: OriginId,
        generation: u64,
        refreshed: bool,
        helped: bool,
    ) {
        let origin = self.origin(id);
        origin.accepted = generation;
        origin.takes_refreshed |= refreshed;
        origin.rejects_logins = false;
        origin.backoff.accepted(helped);
    }

    /// Returns whether any origin's success would change anything.
    pub(crate) fn wants_success(&self) -> bool {
        self.0.iter().any(|origin| origin.backoff.wants_success())
    }

    /// Returns whether the origin has accepted this generation.
    pub(crate) fn has_accepted(&self, id: OriginId, generation: u64) -> bool {
        self.0
            .iter()
            .any(|origin| origin.id == id && origin.accepted == generation)
    }

    /// Returns whether any origin has accepted a token from a refresh.
    pub(crate) fn take_refreshed(&self) -> bool {
        self.0.iter().any(|origin| origin.takes_refreshed)
    }

    /// Returns the longest time for which rejections cause no renewal.
    pub(crate) fn backoff_left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.iter().filter_map(|origin| origin.backoff.left(now));
        left.max()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[derive(Debug, Default)]
struct RejectionBackoff {
    fruitless: u32,
    until: Option<Instant>,
    lifted: bool,
}

impl RejectionBackoff {
    /// Returns how long rejections cause no renewal.
    fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Records that the token of a renewal was rejected as well.
    fn fruitless(&mut self, now: Instant, backoff: &Backoff) {
        if self.until.is_some_and(|until| now > until + backoff.max) {
            *self = Self::default();
        }
        self.fruitless = self.fruitless.saturating_add(1);
        self.until = Some(now + backoff.pause(self.fruitless));
    }

    /// Records that a request was accepted; `helped`: it was a replay with the token
    /// of a renewal that a rejection forced.
    fn accepted(&mut self, helped: bool) {
        if helped {
            *self = Self::default();
        } else if self.wants_success() {
            self.until = None;
            self.lifted = true;
        }
    }

    fn wants_success(&self) -> bool {
        self.fruitless > 0 && !self.lifted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        max: Duration::from_secs(60),
    };

    const HERE: OriginId = OriginId::new(1);
    const THERE: OriginId = OriginId::new(2);

    fn left(backoff: &RejectionBackoff, now: Instant) -> u64 {
        backoff.left(now).unwrap_or_default().as_secs()
    }

    fn login(generation: u64, forced_by: Option<OriginId>) -> Rejected {
        Rejected {
            generation,
            forced_by,
            refreshed: false,
            unproven: false,
        }
    }

    #[test]
    fn fruitless_renewals_are_backed_off_longer_each_time() {
        let (mut backoff, mut now) = (RejectionBackoff::default(), Instant::now());
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(left(&backoff, now), 0);
            backoff.fruitless(now, &BACKOFF);
            assert_eq!(left(&backoff, now), pause);
            now += Duration::from_secs(pause);
        }
    }

    #[test]
    fn the_first_success_lifts_the_backoff() {
        let (mut backoff, now) = (RejectionBackoff::default(), Instant::now());
        backoff.fruitless(now, &BACKOFF);
        backoff.accepted(false);
        assert_eq!(left(&backoff, now), 0);
    }

    #[test]
    fn successes_beside_fruitless_renewals_lift_it_once_only() {
        let (mut backoff, mut now) = (RejectionBackoff::default(), Instant::now());
        backoff.fruitless(now, &BACKOFF);
        backoff.accepted(false);
        for pause in [2, 4, 8] {
            backoff.fruitless(now, &BACKOFF);
            backoff.accepted(false);
            assert_eq!(left(&backoff, now), pause);
            now += Duration::from_secs(pause);
        }
        backoff.accepted(true);
        backoff.fruitless(now, &BACKOFF);
        assert_eq!(left(&backoff, now), 1, "a replay that helped starts over");
        now += Duration::from_secs(1 + 61);
        backoff.fruitless(now, &BACKOFF);
        assert_eq!(left(&backoff, now), 1, "so does a long calm");
    }

    #[test]
    fn an_origin_that_rejects_everything_backs_off_no_other() {
        let (mut rejections, now) = (Rejections::default(), Instant::now());
        let renew = |it: Verdict| it.renew;
        assert!(renew(rejections.rejected(
            HERE,
            login(1, None),
            now,
            &BACKOFF
        )));
        assert!(!renew(rejections.rejected(
            HERE,
            login(2, Some(HERE)),
            now,
            &BACKOFF
        )));
        assert!(renew(rejections.rejected(
            THERE,
            login(2, Some(HERE)),
            now,
            &BACKOFF
        )));
    }

    #[test]
    fn what_a_refresh_yields_leads_to_a_login_unless_it_or_a_login_says_otherwise() {
        let refreshed = |generation, forced_by| Rejected {
            refreshed: true,
            ..login(generation, forced_by)
        };
        let now = Instant::now();
        let log_in = |rejections: &mut Rejections, token| {
            rejections.rejected(HERE, token, now, &BACKOFF).log_in
        };
        let mut rejections = Rejections::default();
        assert!(log_in(&mut rejections, refreshed(2, None)));
        assert!(!log_in(&mut rejections, login(3, None)), "a login itself");
        // The forced login is rejected too: the refresh token is not the cause.
        let mut rejections = Rejections::default();
        assert!(!log_in(&mut rejections, login(2, Some(HERE))));
        let later = now + Duration::from_secs(2);
        let verdict = rejections.rejected(HERE, refreshed(3, None), later, &BACKOFF);
        assert!(!verdict.log_in);
        // The origin accepts refreshed tokens: this one was revoked.
        let mut rejections = Rejections::default();
        rejections.accepted(HERE, 2, true, false);
        assert!(!log_in(&mut rejections, refreshed(3, None)));
    }
}
