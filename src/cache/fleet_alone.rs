//! A process without its fleet, because the store cannot be reached: how it fetches
//! alone, and rejoins.
//!
//! The session that it opened at the server while alone does not stay open: once the
//! store is back, the process hands its tokens over if the fleet has none, or else
//! takes the fleet's token and ends its own session.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::cache::codec;
use crate::cache::fleet_lease::{Leased, refresh_entry};
use crate::cache::in_flight::FetchResult;
use crate::cache::settings::FleetMember;
use crate::cache::shared::Shared;
use crate::cache::source_call::FetchContext;
use crate::store::{Acquire, Acquired, Completion, Stored};
use crate::token::RefreshToken;

/// The first and the longest pause between attempts to rejoin.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// How long a session stays open after its last token was replaced: requests that
/// carry it are answered by then.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// Rejoins the fleet as soon as its store is back.
pub(crate) fn ensure_rejoin(shared: &Arc<Shared>) {
    if let Some(fleet) = &shared.fleet
        && shared.with_state(|state, _| state.is_alone())
    {
        fleet
            .rejoin
            .ensure_running(|| rejoin(Arc::downgrade(shared)));
    }
}

async fn rejoin(shared: Weak<Shared>) {
    let mut pause = PAUSES.0;
    loop {
        sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = (2 * pause).min(PAUSES.1);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if !shared.with_state(|state, _| state.is_alone()) {
            return;
        }
        shared.start_rejoin();
    }
}

impl Shared {
    /// Fetches without the store.
    pub(super) async fn fetch_alone(self: &Arc<Self>, context: FetchContext) -> FetchResult {
        let mut fetched = self.fetch_from_source(context).await;
        fetched.alone = fetched.answer.is_ok();
        fetched
    }

    /// Calls the store again. A process that has a token makes no token request,
    /// unless the fleet has a refresh token. Returns `None` if nothing has to change
    /// here.
    pub(crate) async fn rejoin(
        self: &Arc<Self>,
        fleet: &FleetMember,
        context: FetchContext,
    ) -> Option<FetchResult> {
        let requested_at = self.settings.clock.now();
        let acquire = Acquire {
            lease: self.settings.lease_duration,
            newer_than: self.with_state(|state, _| state.store_generation()),
            ..Acquire::default()
        };
        let newer = match self.acquire(fleet, acquire).await {
            Some(Acquired::Token(entry)) => self.token_from_store(&entry, requested_at),
            Some(Acquired::Lease(lease)) => {
                let leased = Leased::at(lease, self.settings.clock.now());
                if leased.lease.refresh_token.is_none() {
                    self.hand_over(fleet, &leased).await;
                    return None;
                }
                let acquire = Acquire {
                    credentials: self.source.fingerprint(),
                    ..acquire
                };
                let fetched = self.fetch_with_lease(leased, fleet, acquire, context);
                return Some(fetched.await);
            }
            _ => None,
        };
        let newer = newer?;
        self.end_own_session();
        Some(newer)
    }

    /// Hands this process's tokens over to the fleet.
    async fn hand_over(&self, fleet: &FleetMember, leased: &Leased) {
        let mut completion = Completion::of(&leased.lease);
        let unknown = self.settings.renew_unknown_lifetime_after;
        let own = self.with_state(|state, _| {
            let live = state.live.as_ref()?;
            let (token, since) = (live.token.clone(), live.requested_at);
            Some((token, since, state.refresh.take_held()))
        });
        let mut refresh = None;
        if let Some((token, since, held)) = own {
            let now = self.settings.clock.now();
            let left = |span: Duration| span.saturating_sub(now.since(&since));
            completion.token = codec::encode_access_token(&token)
                .map(|payload| Stored {
                    payload,
                    ttl: left(token.lifetime().unwrap_or(unknown)),
                })
                .filter(|it| !it.ttl.is_zero());
            if let Some((token, since)) = &held {
                let left = |span: Duration| span.saturating_sub(now.since(since));
                completion.refresh_token = refresh_entry(token, left);
            }
            refresh = held;
        }
        let generation = completion.generation;
        let has_token = completion.token.is_some();
        let written = self.complete(fleet, completion).await;
        self.with_state(|state, _| match (written, refresh) {
            (Some(true), _) if has_token => state.handed_over(generation),
            // It is unknown whether the store has it: this process does not send it.
            (None, _) => {}
            (_, Some((token, since))) => state.refresh.set(Some(token), since),
            (_, None) => {}
        });
    }

    /// Ends, after a while, the session that this process opened alone, if any.
    pub(super) fn end_own_session(self: &Arc<Self>) {
        let own = self.with_state(|state, now| state.refresh.take(now, &self.settings));
        own.inspect(|own| self.end_later(own.clone()));
    }

    /// Ends a session whose token may still be in flight.
    pub(super) fn end_later(self: &Arc<Self>, refresh_token: RefreshToken) {
        let shared = self.clone();
        tokio::spawn(async move {
            sleep(LAST_REQUESTS).await;
            shared.end_in_background(refresh_token);
        });
    }
}
