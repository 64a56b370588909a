//! The token endpoint. It decides when a request arrives, and answers later.

use std::time::Duration;

use tokio::time::sleep;
use tower_bearer::{
    AccessToken, RefreshToken, TokenError, TokenErrorKind, TokenResponse, TokenSource,
};

use crate::cache::reference::LONGEST_WAIT;
use crate::cache::world::{Mood, State, World};
use crate::moment::{Forced, Known, Moment};
use crate::run::SCRIPTED;

impl TokenSource for World {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.request(None).await
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let serial = token
            .secret()
            .strip_prefix('r')
            .and_then(|s| s.parse().ok());
        self.request(Some(serial.expect("one of ours"))).await
    }
}

/// A request on its way. Dropped without an answer, it timed out or its runtime
/// ended.
struct Request {
    world: World,
    born: Moment,
    refresh: Option<u64>,
    answered: bool,
}

/// The server's decision.
enum Decided {
    Issued { access: u64, refresh: Option<u64> },
    Refused,
    Other(Mood),
}

impl World {
    async fn request(&self, refresh: Option<u64>) -> Result<TokenResponse, TokenError> {
        let (request, decided, latency) = {
            let mut state = self.lock();
            let born = state.now();
            state.arrived(refresh, &born);
            let decided = state.decide(refresh);
            let request = Request {
                world: self.clone(),
                born,
                refresh,
                answered: false,
            };
            (request, decided, state.latency)
        };
        if !latency.is_zero() {
            sleep(latency).await;
        }
        request.answer(decided)
    }
}

impl State {
    /// The promises about when a request may come, and with what.
    fn arrived(&mut self, refresh: Option<u64>, now: &Moment) {
        self.fetches += 1;
        self.fetching += 1;
        self.check(self.fetching == 1, "two fetches at once");
        self.refreshing = refresh.is_some();
        if refresh.is_some() && self.reference.exclusive.on {
            self.refresh_is_exclusive(now);
        }
        self.withheld_since = None;
        let asked = self.longer > 0;
        if let Err(broken) = self.reference.arrived(refresh, asked, now) {
            self.check(false, broken);
        }
    }

    /// The promises about requests with the token that was last in use before it is
    /// refreshed: it may have expired since, or have been invalidated.
    fn refresh_is_exclusive(&mut self, now: &Moment) {
        let last = self.reference.last;
        let waited_for = |since| now.awake >= since + LONGEST_WAIT;
        let fine = self
            .at_api
            .values()
            .all(|it| !it.counted || Some(it.serial) != last || waited_for(it.since));
        self.check(fine, "a refresh beside requests with the token before it");
    }

    fn decide(&mut self, refresh: Option<u64>) -> Decided {
        match self.mood {
            Mood::Refusing if refresh.is_none() => return Decided::Refused,
            Mood::Refusing | Mood::Good => {}
            other => return Decided::Other(other),
        }
        if let Some(serial) = refresh {
            let lives = self.sessions.contains(&serial);
            if self.rotates {
                self.sessions.remove(&serial);
            }
            if !lives {
                return Decided::Refused;
            }
        }
        if refresh.is_some() && self.ends_access {
            self.live.clear();
        }
        let access = self.serial();
        self.live.insert(access);
        let refresh = self.gives_refresh.then(|| self.serial());
        self.sessions.extend(refresh);
        Decided::Issued { access, refresh }
    }
}

impl Request {
    /// Returns what the reference makes of the response, and the response.
    fn answer(mut self, decided: Decided) -> Result<TokenResponse, TokenError> {
        self.answered = true;
        let world = self.world.clone();
        let mut state = world.lock();
        state.refreshing = false;
        let now = state.now();
        match decided {
            Decided::Issued { access, refresh } => self.issue(&mut state, &now, access, refresh),
            Decided::Refused if self.refresh.is_some() => {
                state.reference.refused_refresh(&now);
                Err(TokenError::new(TokenErrorKind::Refused, "no session"))
            }
            Decided::Refused => {
                state.reference.refused(&now);
                Err(TokenError::new(TokenErrorKind::Refused, "wrong password"))
            }
            Decided::Other(mood) => {
                let refreshing = self.refresh.is_some();
                let after = match mood {
                    Mood::Down(after) => after.map(Duration::from_secs),
                    _ => None,
                };
                let unconnected = mood == Mood::Unconnected;
                let reference = &mut state.reference;
                reference.failed(refreshing, unconnected, after, &now);
                drop(state);
                let (kind, what) = match mood {
                    Mood::Down(_) => (TokenErrorKind::Unavailable, "down"),
                    Mood::Unconnected => (TokenErrorKind::Connect, "gone"),
                    Mood::Panicking => {
                        // Not while the request is at hand: its end needs the lock.
                        drop(self);
                        std::panic::panic_any(SCRIPTED);
                    }
                    _ => (TokenErrorKind::InvalidResponse, "babble"),
                };
                Err(TokenError::new(kind, what).with_retry_after(after))
            }
        }
    }

    fn issue(
        &self,
        state: &mut State,
        now: &Moment,
        access: u64,
        refresh: Option<u64>,
    ) -> Result<TokenResponse, TokenError> {
        let known = |serial, lifetime: Option<u64>| Known {
            serial,
            born: self.born,
            lifetime: lifetime.map(Duration::from_secs),
            refreshed: self.refresh.is_some(),
            forced: Forced::No,
        };
        let mut token = AccessToken::new(format!("a{access}"))?;
        if let Some(lifetime) = state.lifetime {
            token = token.with_lifetime(Duration::from_secs(lifetime));
        }
        let kept = refresh.map(|serial| known(serial, state.refresh_lifetime));
        let refresh = kept.map(|kept| {
            let token = RefreshToken::new(format!("r{}", kept.serial))?;
            Ok::<_, TokenError>(match kept.lifetime {
                Some(lifetime) => token.with_lifetime(lifetime),
                None => token,
            })
        });
        let lifetime = state.lifetime;
        state.reference.issued(known(access, lifetime), kept, now);
        let response = TokenResponse::new(token);
        Ok(match refresh.transpose()? {
            Some(refresh) => response.with_refresh_token(refresh),
            None => response,
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.fetching -= 1;
        state.refreshing = false;
        if !self.answered && !state.ending {
            let (now, refreshing) = (state.now(), self.refresh.is_some());
            state.reference.failed(refreshing, false, None, &now);
        }
    }
}
