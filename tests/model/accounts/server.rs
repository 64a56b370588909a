//! The token endpoints. Each decides when a request arrives, and answers later.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_bearer::{
    AccessToken, RefreshToken, TokenError, TokenErrorKind, TokenResponse, TokenSource,
};

use crate::accounts::state::{Call, Key, Mood, State, World};

/// The token source of a key.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) world: World,
    pub(crate) key: Key,
    /// How often the account had been removed when it was made.
    pub(crate) removals: u32,
}

impl Source {
    pub(crate) fn new(world: World, key: Key) -> Self {
        let removals = world.lock().tenants[key.0].removals;
        Self {
            world,
            key,
            removals,
        }
    }
}

impl TokenSource for Source {
    async fn fetch(&self) -> Result<TokenResponse, TokenError> {
        self.request(None).await
    }

    async fn refresh(&self, token: &RefreshToken) -> Result<TokenResponse, TokenError> {
        let serial = token.secret().strip_prefix('r');
        let serial = serial.and_then(|serial| serial.parse().ok());
        self.request(Some(serial.expect("one of ours"))).await
    }

    fn fingerprint(&self) -> u64 {
        // Of this history alone.
        let seed = self.world.lock().seed;
        seed.wrapping_mul(31).wrapping_add(1 + self.key.0 as u64)
    }

    fn endpoint(&self) -> u64 {
        1 + self.key.endpoint() as u64
    }

    async fn revoke(
        &self,
        _: Option<&AccessToken>,
        refresh: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        let mut state = self.world.lock();
        let serial = refresh.and_then(|it| it.secret().strip_prefix('r'));
        let serial = serial.and_then(|serial| serial.parse::<u64>().ok());
        if let Some(session) = serial.and_then(|it| state.sessions.get(&it).copied()) {
            let kept = state.kept.contains(&session);
            state.check(!kept, "a session ended of which a handle is kept");
            state.ended.insert(session);
        }
        Ok(())
    }
}

/// A request on its way.
struct Request {
    world: World,
    number: u64,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.world.lock().ends(self.number);
    }
}

impl Source {
    async fn request(&self, refresh: Option<u64>) -> Result<TokenResponse, TokenError> {
        let (request, mood, latency) = {
            let mut state = self.world.lock();
            state.serial += 1;
            let number = state.serial;
            let call = Call {
                number,
                key: self.key,
                removals: self.removals,
                login: refresh.is_none(),
                since: Instant::now(),
                at_slow: false,
                at_quick: false,
            };
            state.arrives(call);
            if let Some(session) = refresh.and_then(|it| state.sessions.get(&it)) {
                let own = *session as usize % super::state::KEYS == self.key.0;
                state.check(own, "the refresh token of another account");
            }
            let world = self.world.clone();
            let tenant = &state.tenants[self.key.0];
            (Request { world, number }, tenant.mood, tenant.latency)
        };
        if !latency.is_zero() {
            sleep(latency).await;
        }
        let answer = self.answer(&mut self.world.lock(), refresh, mood);
        drop(request);
        answer
    }

    fn answer(
        &self,
        state: &mut State,
        refresh: Option<u64>,
        mood: Mood,
    ) -> Result<TokenResponse, TokenError> {
        let (tenant, now) = (&mut state.tenants[self.key.0], Instant::now());
        let (kind, status) = match (mood, refresh) {
            (Mood::Good, _) | (Mood::Refusing | Mood::Odd(_), Some(_)) => {
                return self.issue(state, refresh);
            }
            (Mood::Unconnected, _) => {
                tenant.unanswered = Some(now);
                (TokenErrorKind::Connect, None)
            }
            (Mood::Failing, _) => (TokenErrorKind::Unavailable, Some(500)),
            (Mood::Refusing, None) => (TokenErrorKind::Refused, Some(401)),
            (Mood::Odd(302), None) => (TokenErrorKind::UnexpectedRedirect, Some(302)),
            (Mood::Odd(status), None) => (TokenErrorKind::InvalidResponse, Some(status)),
        };
        match (refresh, mood) {
            (None, Mood::Failing) => tenant.backoff.deferred(now),
            (None, Mood::Refusing | Mood::Odd(_)) => tenant.backoff.refused(now),
            _ => tenant.unanswered = Some(now),
        }
        let error = TokenError::new(kind, "scripted");
        Err(match status {
            Some(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                error.with_response(status, None)
            }
            None => error,
        })
    }

    fn issue(&self, state: &mut State, refresh: Option<u64>) -> Result<TokenResponse, TokenError> {
        let session = match refresh {
            Some(refresh) => {
                let session = state.sessions[&refresh];
                if state.ended.contains(&session) {
                    let error = TokenError::new(TokenErrorKind::Refused, "no session");
                    return Err(error.with_response(StatusCode::BAD_REQUEST, None));
                }
                session
            }
            None => {
                state.tenants[self.key.0].backoff = Default::default();
                state.new_session(self.key)
            }
        };
        state.serial += 2;
        let (access, refresh) = (state.serial - 1, state.serial);
        state
            .sessions
            .extend([(access, session), (refresh, session)]);
        state.live.insert(access, self.key);
        let lifetime = state.lifetime;
        let token = AccessToken::new(format!("a{access}"))?.with_lifetime(lifetime);
        let refresh = RefreshToken::new(format!("r{refresh}"))?;
        Ok(TokenResponse::new(token).with_refresh_token(refresh))
    }
}

/// A time that a call takes.
pub(crate) fn latency(rng: &mut fastrand::Rng) -> Duration {
    let choices = [0, 0, 500, 900, 1500, 20_000];
    Duration::from_millis(choices[rng.usize(..choices.len())])
}
