//! A call of the source with its own credentials, unless they failed recently.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::cache::credentials::{Attempt, CredentialMemory, Locks};
use crate::cache::failures::about;
use crate::cache::in_flight::FetchResult;
use crate::cache::permitted_call;
use crate::cache::shared::Shared;
use crate::cache::source_call::{FetchContext, GRACE};
use crate::error::TokenError;

impl Shared {
    /// Makes one call with the source's own credentials, or returns their failure
    /// from memory.
    pub(crate) async fn fetch_with_credentials(&self, context: FetchContext) -> FetchResult {
        // The source's credentials and its endpoint may be known only after this.
        if !self.source.is_prepared()
            && let Err(error) = self.prepare(context).await
        {
            let mut fetched = FetchResult::new(Err(error), self.settings.clock.now());
            self.draw_pause(&mut fetched, true);
            return fetched;
        }
        self.note_tried();
        // A remembered failure needs no permit.
        if let Some(memory) = CredentialMemory::find_blocking(self.credentials()) {
            return FetchResult::remembered(memory, self.settings.clock.now());
        }
        let call = self.send_credentials(context);
        self.with_permit(context, self.endpoint(), call).await
    }

    async fn prepare(&self, context: FetchContext) -> Result<(), TokenError> {
        let call = async {
            if let Some(error) = self.shut_down() {
                return Err(error);
            }
            self.keep_alive(context, Duration::ZERO);
            self.with_timeout(self.source.prepare()).await
        };
        self.with_permit(context, self.cache_id, call).await
    }

    /// Sends the source's credentials, unless they failed recently.
    async fn send_credentials(&self, context: FetchContext) -> FetchResult {
        // Another cache may be sending them.
        let attempt = match permitted_call::released(self.begin_attempt(context)).await {
            Ok(attempt) => attempt,
            Err(memory) => {
                self.endpoint_not_asked();
                return FetchResult::remembered(memory, self.settings.clock.now());
            }
        };
        let requested_at = self.settings.clock.now();
        if let Some(error) = self.shut_down() {
            self.endpoint_not_asked();
            return FetchResult::new(Err(error), requested_at);
        }
        self.keep_alive(context, Duration::ZERO);
        let call = async { self.source.fetch().await };
        let answer = self.with_timeout(call).await;
        let mut fetched = FetchResult::new(answer, requested_at);
        let locks = self.source.may_lock();
        let about = fetched.answer.as_ref().err().map(|it| about(it, locks));
        match (&fetched.answer, about.flatten()) {
            (Ok(_), _) => attempt.succeeded(),
            (Err(error), Some(about)) => {
                let (settings, now) = (&self.settings, self.settings.clock.now());
                let (memory, error) = attempt.failed(error, about, |failures| {
                    let pause = failures.pause(error, locks, settings, fastrand::f64());
                    failures.record(error, pause, &now)
                });
                fetched.pause = error.retry_after();
                fetched.answer = Err(error);
                fetched.memory = Some(memory);
            }
            (Err(_), None) => self.draw_pause(&mut fetched, locks),
        }
        fetched
    }

    /// Waits until these credentials may be sent. While this is driven, the fetch is
    /// not stalled.
    async fn begin_attempt(&self, context: FetchContext) -> Result<Attempt, Arc<CredentialMemory>> {
        let limit = self.settings.source_timeout + GRACE;
        let locks = match self.source.may_lock() {
            true => Locks::User(self.source.user()),
            false => Locks::Nobody,
        };
        let mut attempt = pin!(Attempt::begin(self.credentials(), limit, locks));
        loop {
            self.keep_alive(context, limit);
            if let Ok(begun) = timeout(limit, attempt.as_mut()).await {
                return begun;
            }
        }
    }
}
