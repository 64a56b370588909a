//! The end of a program.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accounts::accounts::Accounts;
use crate::accounts::maintenance;
use crate::error::{TokenError, TokenErrorKind};

impl<K> Accounts<K> {
    /// Hands out no more tokens, lets all accounts go, and ends their sessions,
    /// as many at once as there may be
    /// [fetches](crate::accounts::AccountsBuilder::max_concurrent_fetches): for the
    /// end of a program, after its last request.
    ///
    /// # Errors
    ///
    /// The first session's error that could not be ended, or
    /// [`Timeout`](TokenErrorKind::Timeout) if they were not all ended within
    /// `limit`. The accounts are shut down all the same.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), TokenError> {
        self.inner.closed.store(true, Ordering::SeqCst);
        let accounts = self.inner.lru.take_while(|_| true);
        let mut all: Vec<_> = accounts.iter().map(|it| it.tokens().clone()).collect();
        let pending_revocations =
            std::mem::take(&mut maintenance::lock(&self.inner).pending_revocations);
        all.extend(pending_revocations.into_iter().map(|(_, tokens)| tokens));
        let mut tasks = JoinSet::new();
        for tokens in all {
            tokens.shared.with_state(|state, _| state.close());
            let permits = self.inner.config.revoke_permits.clone();
            tasks.spawn(async move {
                let _pass = permits.acquire().await;
                tokens.shutdown().await
            });
        }
        let mut result = Ok(());
        let ended = timeout(limit, async {
            while let Some(ended) = tasks.join_next().await {
                let ended = ended.unwrap_or(Ok(()));
                result = std::mem::replace(&mut result, Ok(())).and(ended);
            }
        });
        if ended.await.is_err() {
            let what = format!("not all sessions were ended within {limit:?}");
            return Err(TokenError::new(TokenErrorKind::Timeout, what));
        }
        result
    }
}
