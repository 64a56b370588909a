//! Giving up tokens for good, at the server too.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::cache::fleet;
use crate::cache::membership::Fleet;
use crate::cache::record;
use crate::cache::shared::{Shared, no_runtime};
use crate::error::{TokenError, TokenErrorKind};
use crate::events::Event;
use crate::store::{Claim, Claimed, Lease, Settlement};
use crate::token::{AccessToken, RefreshToken};

/// Which session is to be ended, where a fleet has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the whole fleet.
    Everybodys,
    /// Only what this process has for itself.
    Own,
}

/// Ends the session, in a task of its own: once the cache has let go of its
/// tokens, nobody else can end it.
pub(crate) async fn revoke(shared: &Arc<Shared>, whose: Whose) -> Result<(), TokenError> {
    let runtime = Handle::try_current().map_err(no_runtime)?;
    let limit = shared.settings.revoke_timeout;
    let work = end_session(shared.clone(), whose);
    let task = runtime.spawn(async move {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let what = format!("the session was not ended within {limit:?}");
            Err(TokenError::new(TokenErrorKind::Timeout, what))
        })
    });
    task.await.map_err(no_runtime)?
}

async fn end_session(shared: Arc<Shared>, whose: Whose) -> Result<(), TokenError> {
    // A fetch under way brings tokens to be given up as well.
    let (mut access, refresh) = loop {
        let windows = &shared.settings.windows;
        match shared.with_ledger(|ledger, now| ledger.give_up(now, windows)) {
            Some(tokens) => break tokens,
            None => shared.flight.ended().await,
        }
    };
    if let Some(fleet) = &shared.fleet {
        if whose == Whose::Everybodys
            && let Some((access, lease)) = shared.take_out(fleet).await
        {
            let theirs = lease.refresh_token.as_ref();
            let theirs = theirs.and_then(|(it, left)| record::read_refresh_token(it, *left));
            let result = shared.end(access.as_ref(), theirs.as_ref()).await;
            shared.settle(fleet, Settlement::of(&lease)).await;
            if refresh.is_some() {
                shared.end(None, refresh.as_ref()).await?;
            }
            return result;
        }
        // The others are still sending it.
        access = access.filter(|_| refresh.is_some());
    }
    shared.end(access.as_ref(), refresh.as_ref()).await
}

impl Shared {
    async fn end(
        &self,
        access: Option<&AccessToken>,
        refresh: Option<&RefreshToken>,
    ) -> Result<(), TokenError> {
        if access.is_none() && refresh.is_none() {
            return Ok(());
        }
        let ended = self.bounded(self.source.revoke(access, refresh)).await;
        let error = ended.as_ref().err();
        self.tell(&Event::Revoked { error });
        ended
    }

    /// Takes what the fleet has out of its store: the token in use, and a lease
    /// with the refresh token. `None` if the store cannot be asked, or has a
    /// failure instead.
    async fn take_out(&self, fleet: &Fleet) -> Option<(Option<AccessToken>, Lease)> {
        let access = match self.claim(fleet, Claim::default()).await? {
            Claimed::Token(entry) => record::read_access_token(&entry.payload),
            _ => None,
        };
        let mut changes = fleet.store.changes(&fleet.account);
        let claim = Claim {
            newer_than: u64::MAX,
            rejected: true,
            pardon: false,
            lease: self.settings.lease,
        };
        loop {
            changes.mark_unchanged();
            match self.claim(fleet, claim).await? {
                Claimed::Leased(lease) => return Some((access, lease)),
                Claimed::Held(left) => fleet::pause(&mut changes, left).await,
                Claimed::Token(_) | Claimed::Failed(_) => return None,
            }
        }
    }
}
