//! The refresh token that a cache keeps.

use crate::cache::clock::Moment;
use crate::cache::schedule::Windows;
use crate::token::RefreshToken;

#[derive(Debug, Default)]
pub(crate) struct Refresh(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    token: RefreshToken,
    born: Moment,
}

impl Refresh {
    /// Keeps this one, or none.
    pub(crate) fn keep(&mut self, token: Option<RefreshToken>, born: Moment) {
        self.0 = token.map(|token| Box::new(Kept { token, born }));
    }

    /// The refresh token, if it is still alive.
    pub(crate) fn alive(&self, now: &Moment, windows: &Windows) -> Option<RefreshToken> {
        let kept = self.0.as_ref()?;
        let alive = kept.token.lifetime().is_none_or(|lifetime| {
            now.since(&kept.born) < lifetime.saturating_sub(windows.margin(lifetime))
        });
        alive.then(|| kept.token.clone())
    }

    /// The same, and nothing stays.
    pub(crate) fn take(&mut self, now: &Moment, windows: &Windows) -> Option<RefreshToken> {
        let alive = self.alive(now, windows);
        self.0 = None;
        alive
    }

    /// Forgets one that was refused, unless a newer one has come: the refusal
    /// may be that of a lost flight.
    pub(crate) fn forget(&mut self, refused: &RefreshToken) {
        self.0
            .take_if(|kept| kept.token.secret() == refused.secret());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::clock::Clock;

    #[test]
    fn a_refresh_token_that_was_refused_takes_no_newer_one_along() {
        let (now, windows) = (Clock::default().now(), Windows::default());
        let token = |text: &str| RefreshToken::new(text).expect("valid");
        let mut refresh = Refresh::default();
        refresh.keep(Some(token("old")), now);
        refresh.keep(Some(token("new")), now);
        refresh.forget(&token("old"));
        let kept = refresh.alive(&now, &windows).expect("kept");
        assert_eq!(kept.secret(), "new");
        refresh.forget(&token("new"));
        assert!(refresh.alive(&now, &windows).is_none());
    }
}
