//! The refresh token that a cache keeps.

use crate::cache::clock::Moment;
use crate::cache::settings::Settings;
use crate::token::RefreshToken;

#[derive(Debug, Default)]
pub(crate) struct HeldRefreshToken(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    token: RefreshToken,
    requested_at: Moment,
}

impl HeldRefreshToken {
    /// Keeps this one, or none.
    pub(crate) fn set(&mut self, token: Option<RefreshToken>, requested_at: Moment) {
        self.0 = token.map(|token| {
            Box::new(Held {
                token,
                requested_at,
            })
        });
    }

    /// The refresh token, if it is still alive.
    pub(crate) fn get(&self, now: &Moment, settings: &Settings) -> Option<RefreshToken> {
        let held = self.0.as_ref()?;
        let alive = held.token.lifetime().is_none_or(|lifetime| {
            now.since(&held.requested_at)
                < lifetime.saturating_sub(settings.expiry_margin.of(lifetime))
        });
        alive.then(|| held.token.clone())
    }

    /// The same, and nothing stays.
    pub(crate) fn take(&mut self, now: &Moment, settings: &Settings) -> Option<RefreshToken> {
        let alive = self.get(now, settings);
        self.0 = None;
        alive
    }

    /// Forgets one that was refused, unless a newer one has come: the refusal
    /// may be that of a lost flight.
    pub(crate) fn forget(&mut self, refused: &RefreshToken) {
        self.0
            .take_if(|held| held.token.secret() == refused.secret());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::clock::Clock;

    #[test]
    fn a_refresh_token_that_was_refused_takes_no_newer_one_along() {
        let (now, settings) = (Clock::default().now(), Settings::default());
        let token = |text: &str| RefreshToken::new(text).expect("valid");
        let mut refresh = HeldRefreshToken::default();
        refresh.set(Some(token("old")), now);
        refresh.set(Some(token("new")), now);
        refresh.forget(&token("old"));
        let held = refresh.get(&now, &settings).expect("held");
        assert_eq!(held.secret(), "new");
        refresh.forget(&token("new"));
        assert!(refresh.get(&now, &settings).is_none());
    }
}
