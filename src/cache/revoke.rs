//! Giving up tokens for good, at the server too.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::cache::shared::{Shared, no_runtime};
use crate::error::{TokenError, TokenErrorKind};

/// Ends the session, in a task of its own: once the cache has let go of its
/// tokens, nobody else can end it.
pub(crate) async fn revoke(shared: &Arc<Shared>) -> Result<(), TokenError> {
    let runtime = Handle::try_current().map_err(no_runtime)?;
    let limit = shared.settings.revoke_timeout;
    let work = end_session(shared.clone());
    let task = runtime.spawn(async move {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let what = format!("the session was not ended within {limit:?}");
            Err(TokenError::new(TokenErrorKind::Timeout, what))
        })
    });
    task.await.map_err(no_runtime)?
}

async fn end_session(shared: Arc<Shared>) -> Result<(), TokenError> {
    // A fetch under way brings tokens to be given up as well.
    let (access, refresh) = loop {
        let windows = &shared.settings.windows;
        match shared.with_ledger(|ledger, now| ledger.give_up(now, windows)) {
            Some(tokens) => break tokens,
            None => shared.flight.ended().await,
        }
    };
    if access.is_none() && refresh.is_none() {
        return Ok(());
    }
    let ended = shared.source.revoke(access.as_ref(), refresh.as_ref());
    shared.bounded(ended).await
}
