//! Checks whether refused credentials were replaced in their files.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::cache::in_flight::FetchResult;
use crate::cache::shared::Shared;
use crate::cache::source_call::FetchContext;

/// How long a refused caller waits for the files of the credentials.
const LONGEST_READ: Duration = Duration::from_secs(1);

impl Shared {
    /// Fetches if the credentials in their files differ from the refused ones;
    /// otherwise returns the refusal.
    pub(crate) async fn fetch_if_replaced(self: &Arc<Self>, context: FetchContext) -> FetchResult {
        let read = timeout(LONGEST_READ, self.with_timeout(self.source.reread())).await;
        let (credentials, contents) = (self.credentials(), self.source.contents());
        let (needs, locks) = (context.needs, self.source.may_lock());
        let blocking = self.with_state(|state, now| {
            let now = now.monotonic;
            match read {
                Ok(Ok(())) => state.forget_replaced(credentials, contents, locks, needs, now),
                Ok(Err(_)) => state.blocking_for(needs, now),
                Err(_) => {
                    state.put_off_rereading(now);
                    state.blocking_for(needs, now)
                }
            }
        });
        if let Some(error) = blocking {
            return FetchResult {
                pause: error.retry_after(),
                from_memory: true,
                ..FetchResult::new(Err(error), self.settings.clock.now())
            };
        }
        match &self.fleet {
            Some(fleet) => self.fetch_in_fleet(fleet, context).await,
            None => self.fetch_from_source(context).await,
        }
    }

    /// Records that the credentials are about to be tried as they were read.
    pub(crate) fn note_tried(&self) {
        let contents = self.source.contents();
        self.with_state(|state, _| state.note_tried(contents));
    }
}
