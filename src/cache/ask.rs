//! Asking the source, by refresh token or by its own credentials.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use tokio::time::timeout;

use crate::cache::brought::Brought;
use crate::cache::shared::Shared;
use crate::error::{TokenError, TokenErrorKind};
use crate::events::By;
use crate::token::RefreshToken;

impl Shared {
    /// With the refresh token if there is one, with the source's own credentials
    /// otherwise or when the refresh token is refused.
    pub(crate) async fn ask(&self) -> Brought {
        let windows = &self.settings.windows;
        let refresh_token = self.with_ledger(|ledger, now| ledger.refresh.alive(now, windows));
        if let Some(refresh_token) = refresh_token {
            if let Some(brought) = self.refresh(&refresh_token).await {
                return brought;
            }
            self.with_ledger(|ledger, _| ledger.refresh.forget(&refresh_token));
        }
        self.log_in().await
    }

    /// `None` if the refresh token was refused.
    pub(crate) async fn refresh(&self, refresh_token: &RefreshToken) -> Option<Brought> {
        let born = self.settings.clock.now();
        let answer = self.bounded(async { self.source.refresh(refresh_token).await });
        let answer = answer.await;
        let refused = matches!(&answer, Err(e) if e.kind() == TokenErrorKind::Refused);
        (!refused).then(|| Brought {
            refreshed: true,
            by: By::RefreshToken,
            ..Brought::new(answer, born)
        })
    }

    pub(crate) async fn log_in(&self) -> Brought {
        let born = self.settings.clock.now();
        let answer = self.bounded(async { self.source.fetch().await }).await;
        Brought::new(answer, born)
    }

    /// A source's answer within its time, a panic turned into an error.
    pub(crate) async fn bounded<R>(
        &self,
        answer: impl Future<Output = Result<R, TokenError>>,
    ) -> Result<R, TokenError> {
        let limit = self.settings.source_timeout;
        match timeout(limit, caught(answer)).await {
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
pub(crate) async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).map(Some)))
            .unwrap_or_else(|_| None.into())
    })
    .await
}
