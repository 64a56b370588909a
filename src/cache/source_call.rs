//! Asking the source, by refresh token or by its own credentials.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use tokio::time::timeout;

use crate::cache::in_flight::FetchResult;
use crate::cache::shared::Shared;
use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::FetchedBy;
use crate::token::RefreshToken;

impl Shared {
    /// With the refresh token if there is one, with the source's own credentials
    /// otherwise or when the refresh token is refused.
    pub(crate) async fn fetch_from_source(&self) -> FetchResult {
        let settings = &self.settings;
        let refresh_token = self.with_state(|state, now| state.refresh.get(now, settings));
        if let Some(refresh_token) = refresh_token {
            if let Some(fetched) = self.refresh(&refresh_token).await {
                return fetched;
            }
            self.with_state(|state, _| state.refresh.forget(&refresh_token));
        }
        self.fetch_with_credentials().await
    }

    /// `None` if the refresh token was refused.
    pub(crate) async fn refresh(&self, refresh_token: &RefreshToken) -> Option<FetchResult> {
        let requested_at = self.settings.clock.now();
        let answer = self.with_timeout(async { self.source.refresh(refresh_token).await });
        let answer = answer.await;
        let refused = matches!(&answer, Err(e) if e.kind() == TokenErrorKind::Refused);
        (!refused).then(|| FetchResult {
            refreshed: true,
            by: FetchedBy::RefreshToken,
            ..FetchResult::new(answer, requested_at)
        })
    }

    pub(crate) async fn fetch_with_credentials(&self) -> FetchResult {
        let requested_at = self.settings.clock.now();
        let answer = self.with_timeout(async { self.source.fetch().await }).await;
        FetchResult::new(answer, requested_at)
    }

    /// A source's answer within its time, a panic turned into an error.
    pub(crate) async fn with_timeout<R>(
        &self,
        answer: impl Future<Output = Result<R, TokenError>>,
    ) -> Result<R, TokenError> {
        let limit = self.settings.source_timeout;
        match timeout(limit, catch_panic(answer)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                let what = "the token source panicked";
                Err(TokenError::new(TokenErrorKind::Panicked, what))
            }
            Err(_) => {
                let what = format!("the token source did not answer within {limit:?}");
                Err(TokenError::new(TokenErrorKind::Timeout, what))
            }
        }
    }
}

/// What a future comes to; `None` if it panics.
pub(crate) async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).map(Some)))
            .unwrap_or_else(|_| None.into())
    })
    .await
}
