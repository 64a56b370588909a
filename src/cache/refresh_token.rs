//! The refresh token that a cache holds.

use crate::cache::clock::Moment;
use crate::cache::failures::classify;
use crate::cache::schedule::FailureClass;
use crate::cache::settings::Settings;
use crate::error::{TokenError, TokenErrorKind};
use crate::token::RefreshToken;

/// What follows a request with a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterRefresh {
    /// Nothing: it yielded a token, or the token in use suffices for now.
    Done,
    /// A request with the source's own credentials, in the same fetch.
    LogIn,
    /// The same, because the session of the refresh token has too little life left.
    /// If the login fails, this token has to suffice.
    TooShort,
}

/// Decides what follows a failed request with a refresh token, the `count`th in a
/// row. `is_served`: there is a valid token for the waiters.
pub(crate) fn after_failed_refresh(
    error: &TokenError,
    count: u32,
    is_served: bool,
) -> AfterRefresh {
    match (error.kind(), classify(error)) {
        // An explicit refusal.
        (TokenErrorKind::Refused, _) => AfterRefresh::LogIn,
        // Not explicit, but a login may help.
        (_, FailureClass::Refused) if !is_served => AfterRefresh::LogIn,
        _ if !is_served && count >= 2 => AfterRefresh::LogIn,
        _ => AfterRefresh::Done,
    }
}

/// The holder of a refresh token until it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    Cache,
    /// The fleet's store, which handed it out with a lease.
    Lease,
}

#[derive(Debug, Default)]
pub(crate) struct HeldRefreshToken {
    held: Option<Box<Held>>,
    /// How many requests with this token or its predecessors failed in a row: a
    /// login in between does not count.
    failed: u32,
}

#[derive(Debug)]
struct Held {
    token: RefreshToken,
    requested_at: Moment,
}

impl HeldRefreshToken {
    /// Replaces the held token, if any.
    pub(crate) fn set(&mut self, token: Option<RefreshToken>, requested_at: Moment) {
        self.held = token.map(|token| {
            Box::new(Held {
                token,
                requested_at,
            })
        });
    }

    /// Returns the refresh token, if it is still alive.
    pub(crate) fn get(&self, now: &Moment, settings: &Settings) -> Option<RefreshToken> {
        let held = self.held.as_ref()?;
        let alive = held.token.lifetime().is_none_or(|lifetime| {
            let margin = settings.expiry_margin.of(lifetime);
            now.since(&held.requested_at) < lifetime.saturating_sub(margin)
        });
        alive.then(|| held.token.clone())
    }

    /// Takes out the refresh token, if it is still alive.
    pub(crate) fn take(&mut self, now: &Moment, settings: &Settings) -> Option<RefreshToken> {
        let alive = self.get(now, settings);
        self.held = None;
        alive
    }

    /// Takes out what is held, with the time of its request.
    pub(crate) fn take_held(&mut self) -> Option<(RefreshToken, Moment)> {
        self.held.take().map(|held| (held.token, held.requested_at))
    }

    /// Drops the held token.
    pub(crate) fn discard(&mut self) {
        self.held = None;
    }

    /// Drops a token that was refused, unless a newer one is held: the refusal may
    /// be from an abandoned fetch.
    pub(crate) fn forget(&mut self, refused: &RefreshToken) {
        self.held
            .take_if(|held| held.token.secret() == refused.secret());
    }

    /// Sets the refresh token from a late answer to `sent`, unless a newer one is
    /// held.
    pub(crate) fn set_late(
        &mut self,
        late: RefreshToken,
        sent: Option<&RefreshToken>,
        requested_at: Moment,
    ) -> bool {
        let newer = self
            .held
            .as_ref()
            .is_some_and(|held| sent.is_none_or(|sent| held.token.secret() != sent.secret()));
        if !newer {
            self.set(Some(late), requested_at);
        }
        !newer
    }

    /// Counts a failed request with it. Returns how many failed in a row.
    pub(crate) fn count_failure(&mut self) -> u32 {
        self.failed = self.failed.saturating_add(1);
        self.failed
    }

    pub(crate) fn count_success(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::cache::clock::Clock;

    fn token(text: &str) -> RefreshToken {
        RefreshToken::new(text).expect("valid")
    }

    #[test]
    fn a_refresh_token_that_was_refused_takes_no_newer_one_along() {
        let (now, settings) = (Clock::default().now(), Settings::default());
        let mut refresh = HeldRefreshToken::default();
        refresh.set(Some(token("old")), now);
        refresh.set(Some(token("new")), now);
        refresh.forget(&token("old"));
        let held = refresh.get(&now, &settings).expect("held");
        assert_eq!(held.secret(), "new");
        refresh.forget(&token("new"));
        assert!(refresh.get(&now, &settings).is_none());
    }

    #[test]
    fn a_late_answer_replaces_what_it_was_sent_with_and_nothing_newer() {
        let (now, settings) = (Clock::default().now(), Settings::default());
        let held = |refresh: &HeldRefreshToken| {
            let held = refresh.get(&now, &settings);
            held.map(|held| held.secret().to_owned())
        };
        let sent = token("sent");
        let mut refresh = HeldRefreshToken::default();
        refresh.set(Some(sent.clone()), now);
        assert!(refresh.set_late(token("late"), Some(&sent), now));
        assert_eq!(held(&refresh).as_deref(), Some("late"));
        refresh.set(Some(token("newer")), now);
        assert!(!refresh.set_late(token("later"), Some(&sent), now));
        assert_eq!(held(&refresh).as_deref(), Some("newer"));
        refresh.discard();
        assert!(refresh.set_late(token("late"), None, now));
        assert_eq!(held(&refresh).as_deref(), Some("late"));
    }

    #[test]
    fn a_refresh_that_yields_no_token_is_followed_by_a_login_if_none_is_left() {
        use AfterRefresh::{Done, LogIn};
        use TokenErrorKind::{Connect, InvalidResponse, Panicked, Refused, Timeout, Unavailable};
        let error = |kind, status: Option<u16>| {
            let error = TokenError::new(kind, "test");
            match status.and_then(|status| StatusCode::from_u16(status).ok()) {
                Some(status) => error.with_response(status, None),
                None => error,
            }
        };
        // Kind, status, count, whether a valid token is left.
        for (kind, status, count, served, next) in [
            (Refused, Some(400), 1, true, LogIn),
            (Refused, Some(404), 1, false, LogIn),
            (InvalidResponse, Some(200), 1, true, Done),
            (InvalidResponse, Some(200), 1, false, LogIn),
            (
                TokenErrorKind::UnexpectedRedirect,
                Some(302),
                1,
                false,
                LogIn,
            ),
            (Unavailable, Some(500), 1, false, Done),
            (Unavailable, Some(500), 2, false, LogIn),
            (Unavailable, Some(500), 2, true, Done),
            (Timeout, None, 1, false, Done),
            (Timeout, None, 2, false, LogIn),
            (Connect, None, 2, false, LogIn),
            (Panicked, None, 2, false, LogIn),
        ] {
            let error = error(kind, status);
            let case = format!("{kind:?} {status:?} {count} {served}");
            assert_eq!(after_failed_refresh(&error, count, served), next, "{case}");
        }
    }
}
