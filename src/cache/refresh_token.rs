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
    /// Nothing: it yielded a token, or the token in use will do for now.
    Done,
    /// A request with the source's own credentials, in the same fetch.
    LogIn,
    /// The same, because the session that the refresh token stands for lives too
    /// short. If the login fails, this token will do.
    TooShort,
}

/// What follows a request with a refresh token that failed, the `count`th in a
/// row. `is_served`: there is a valid token for whoever waits.
pub(crate) fn after_failed_refresh(
    error: &TokenError,
    count: u32,
    is_served: bool,
) -> AfterRefresh {
    match (error.kind(), classify(error)) {
        // Said in so many words.
        (TokenErrorKind::Refused, _) => AfterRefresh::LogIn,
        // Nothing else has to be known of it, where a login may help.
        (_, FailureClass::Refused) if !is_served => AfterRefresh::LogIn,
        _ if !is_served && count >= 2 => AfterRefresh::LogIn,
        _ => AfterRefresh::Done,
    }
}

/// Who holds a refresh token until it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldBy {
    Cache,
    /// The fleet's store, which has given it out with a lease.
    Lease,
}

#[derive(Debug, Default)]
pub(crate) struct HeldRefreshToken {
    held: Option<Box<Held>>,
    /// Requests with this one or those before it that failed in a row: a login
    /// in between says nothing of refreshes.
    failed: u32,
}

#[derive(Debug)]
struct Held {
    token: RefreshToken,
    requested_at: Moment,
}

impl HeldRefreshToken {
    /// Holds this one, or none.
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

    /// Returns the same, and holds none.
    pub(crate) fn take(&mut self, now: &Moment, settings: &Settings) -> Option<RefreshToken> {
        let alive = self.get(now, settings);
        self.held = None;
        alive
    }

    /// Returns what is held, with the time of its request, and holds none.
    pub(crate) fn take_held(&mut self) -> Option<(RefreshToken, Moment)> {
        self.held.take().map(|held| (held.token, held.requested_at))
    }

    /// Holds none any more.
    pub(crate) fn discard(&mut self) {
        self.held = None;
    }

    /// Forgets one that was refused, unless a newer one is held: the refusal may
    /// be that of a fetch that was given up.
    pub(crate) fn forget(&mut self, refused: &RefreshToken) {
        self.held
            .take_if(|held| held.token.secret() == refused.secret());
    }

    /// Holds the refresh token of a late answer to `sent`, unless a newer one is held.
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

    /// Counts a request with it that failed. Returns how many did in a row.
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
        // Kind, status, the how many-th, whether a valid token is left.
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
