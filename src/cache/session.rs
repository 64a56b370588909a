//! Ending a session: dropping its tokens, at the server too.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::cache::codec;
use crate::cache::fleet;
use crate::cache::settings::FleetMember;
use crate::cache::shared::{Shared, no_runtime};
use crate::cache::state::Tokens;
use crate::error::{TokenError, TokenErrorKind};
use crate::store::{Acquire, Acquired, Completion, Lease};
use crate::telemetry::Event;
use crate::token::{AccessToken, RefreshToken};

/// Which session to end, if a fleet has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole fleet's.
    Fleet,
    /// Only what this process has for itself.
    Process,
}

/// Ends the session, in its own task: once the cache has dropped its tokens, nothing
/// else can end it.
pub(crate) async fn revoke(shared: &Arc<Shared>, scope: Scope) -> Result<(), TokenError> {
    let runtime = Handle::try_current().map_err(no_runtime)?;
    let limit = shared.settings.revoke_timeout;
    let work = end_session(shared.clone(), scope);
    let task = runtime.spawn(async move {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let what = format!("the session was not ended within {limit:?}");
            Err(TokenError::new(TokenErrorKind::Timeout, what))
        })
    });
    task.await.map_err(no_runtime)?
}

/// Ends the session of a cache that was shut down. What takes longer than its time
/// continues in the background; what fails is left for another call.
pub(crate) async fn shut_down(shared: &Arc<Shared>) -> Result<(), TokenError> {
    let runtime = Handle::try_current().map_err(no_runtime)?;
    let limit = shared.settings.revoke_timeout;
    let task = runtime.spawn(end_last_session(shared.clone()));
    match timeout(limit, task).await {
        Ok(ended) => ended.map_err(no_runtime)?,
        Err(_) => {
            let what = format!("the session was not ended within {limit:?}");
            Err(TokenError::new(TokenErrorKind::Timeout, what))
        }
    }
}

/// Ends what came after the cache was shut down.
pub(crate) fn end_late(shared: &Arc<Shared>) {
    if shared.with_state(|state, _| state.is_closed()) {
        tokio::spawn(end_last_session(shared.clone()));
    }
}

async fn end_last_session(shared: Arc<Shared>) -> Result<(), TokenError> {
    let _turn = shared.seldom().ending.lock().await;
    if let Some(left) = shared.with_state(|state, _| state.take_unended()) {
        shared.end_or_keep(left).await?;
    }
    end_session(shared.clone(), Scope::Process).await
}

async fn end_session(shared: Arc<Shared>, scope: Scope) -> Result<(), TokenError> {
    // A fetch in progress brings more tokens to drop.
    let (mut access, refresh) = loop {
        match shared.with_state(|state, now| state.take_tokens(now, &shared.settings)) {
            Some(tokens) => break tokens,
            None => shared.flight.wait().await,
        }
    };
    if let Some(fleet) = &shared.fleet {
        if scope == Scope::Fleet
            && let Some((access, lease)) = shared.drain_store(fleet).await
        {
            let theirs = lease.refresh_token.as_ref();
            let theirs = theirs.and_then(|it| codec::decode_refresh_token(&it.payload, it.ttl));
            let result = shared.end(access.as_ref(), theirs.as_ref()).await;
            shared.complete(fleet, Completion::of(&lease)).await;
            if refresh.is_some() {
                shared.end(None, refresh.as_ref()).await?;
            }
            return result;
        }
        // The other processes still send it.
        access = access.filter(|_| refresh.is_some());
    }
    shared.end_or_keep((access, refresh)).await
}

/// Tokens whose session is being ended. If dropped before that, by an error or with
/// its runtime, they are left to another shutdown.
struct Unended<'a> {
    shared: &'a Shared,
    tokens: Option<Tokens>,
}

impl Drop for Unended<'_> {
    fn drop(&mut self) {
        if let Some(tokens) = self.tokens.take() {
            self.shared
                .with_state(|state, _| state.keep_unended(tokens));
        }
    }
}

impl Shared {
    async fn end_or_keep(&self, tokens: Tokens) -> Result<(), TokenError> {
        let (access, refresh) = tokens.clone();
        let mut unended = Unended {
            shared: self,
            tokens: Some(tokens),
        };
        let ended = self.end(access.as_ref(), refresh.as_ref()).await;
        if ended.as_ref().err().is_none_or(TokenError::is_unsupported) {
            unended.tokens = None;
        }
        ended
    }

    async fn end(
        &self,
        access: Option<&AccessToken>,
        refresh: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        if access.is_none() && refresh.is_none() {
            return Ok(());
        }
        let ended = self.with_timeout(self.source.revoke(access, refresh)).await;
        let error = ended.as_ref().err();
        self.emit(&Event::Revoked { error });
        ended
    }

    /// Takes the fleet's tokens out of its store: the token in use, and a lease with
    /// the refresh token. Returns `None` if the store cannot be reached, or has a
    /// failure instead.
    async fn drain_store(
        self: &Arc<Self>,
        fleet: &FleetMember,
    ) -> Option<(Option<AccessToken>, Lease)> {
        // The holder of the tokens may be known only then.
        self.with_timeout(self.source.prepare()).await.ok()?;
        let access = match self.acquire(fleet, Acquire::default()).await? {
            Acquired::Token(entry) => codec::decode_access_token(&entry.payload),
            _ => None,
        };
        let mut changes = fleet.store.changes(&self.store_account(fleet));
        let acquire = Acquire {
            newer_than: u64::MAX,
            rejected: true,
            lease: self.settings.lease_duration,
            // No credentials: a failure of theirs must not keep a session from being
            // ended.
            ..Acquire::default()
        };
        loop {
            changes.mark_unchanged();
            match self.acquire(fleet, acquire).await? {
                Acquired::Lease(lease) => return Some((access, lease)),
                Acquired::Busy(left) => fleet::pause(&mut changes, left).await,
                Acquired::Token(_) | Acquired::Failure(_) => return None,
            }
        }
    }
}
