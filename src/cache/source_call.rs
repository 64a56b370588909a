//! Calls of the source: with a refresh token, once more after a failure, within
//! their time limit and with a permit.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::cache::failures::is_worth_another_attempt;
use crate::cache::in_flight::FetchResult;
use crate::cache::permitted_call::{self, Granted, WaitForPermit};
use crate::cache::refresh_token::{AfterRefresh, HeldBy};
use crate::cache::shared::Shared;
use crate::cache::state::{Requirements, shut_down};
use crate::error::{TokenError, TokenErrorKind};
use crate::telemetry::{Event, FetchedBy};
use crate::token::RefreshToken;

/// The fetch that the source is called for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchContext {
    pub(crate) id: u64,
    pub(crate) needs: Requirements,
    pub(crate) started: Instant,
    pub(crate) purpose: Purpose,
}

/// The purpose of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Token,
    /// To look for the fleet's token, while this process may not fetch.
    Peek,
    /// To rejoin the fleet, whose store could not be reached before.
    Rejoin,
    /// To check whether refused credentials were replaced in their files.
    Reread,
}

impl Shared {
    /// Calls the source, and once more after a failure that is worth it.
    pub(crate) async fn fetch_from_source(self: &Arc<Self>, context: FetchContext) -> FetchResult {
        let fetched = self.fetch_once(context).await;
        let Some(pause) = self.pause_before_retry(context, &fetched) else {
            return fetched;
        };
        self.with_state(|state, now| state.note_failure(&fetched, now));
        self.keep_alive(context, pause);
        sleep(pause).await;
        self.fetch_once(context).await
    }

    /// Returns the pause before the source is called once more, before the waiters
    /// are told of a failure: only if they still wait then, and no token serves them
    /// meanwhile.
    pub(crate) fn pause_before_retry(
        &self,
        context: FetchContext,
        fetched: &FetchResult,
    ) -> Option<Duration> {
        let error = fetched.answer.as_ref().err()?;
        if fetched.from_memory || !is_worth_another_attempt(error) {
            return None;
        }
        let served = self.with_state(|state, now| state.is_served(context.needs, now));
        let pause = fetched.pause.filter(|_| !served)?;
        let ends = context.started.elapsed() + pause;
        (ends < self.settings.wait_timeout).then_some(pause)
    }

    /// Makes one call with the refresh token, if there is one, and one with the
    /// source's own credentials if that did not yield what is needed.
    async fn fetch_once(self: &Arc<Self>, context: FetchContext) -> FetchResult {
        let held = || self.with_state(|state, now| state.refresh.get(now, &self.settings));
        while let Some(token) = held() {
            if let Some(refreshed) = self.refresh(context, &token, HeldBy::Cache).await {
                return self
                    .continue_after_refresh(context, refreshed, &token)
                    .await;
            }
        }
        self.fetch_with_credentials(context).await
    }

    /// Completes a fetch, once the request with the refresh token is answered.
    pub(crate) async fn continue_after_refresh(
        self: &Arc<Self>,
        context: FetchContext,
        refreshed: FetchResult,
        refresh_token: &RefreshToken,
    ) -> FetchResult {
        let needs = context.needs;
        let next = self.with_state(|state, now| {
            state.after_refresh(&refreshed, refresh_token, needs, now, &self.settings)
        });
        match next {
            AfterRefresh::Done => refreshed,
            AfterRefresh::LogIn => self.fetch_with_credentials(context).await,
            AfterRefresh::TooShort => {
                let fetched = self.fetch_with_credentials(context).await;
                if let Err(error) = fetched.answer {
                    let pause = fetched.pause.filter(|_| fetched.memory.is_some());
                    let pause = pause.unwrap_or_else(|| self.draw_pause_for_longer(&error));
                    return FetchResult {
                        failed_login: Some((error, pause)),
                        ..refreshed
                    };
                }
                if let Some(unused) = refreshed.into_refresh_token() {
                    self.end_in_background(unused);
                }
                fetched
            }
        }
    }

    /// Makes one call with this refresh token. Returns `None` if it may no longer be
    /// used by the time it would be sent.
    pub(crate) async fn refresh(
        &self,
        context: FetchContext,
        refresh_token: &RefreshToken,
        held_by: HeldBy,
    ) -> Option<FetchResult> {
        let call = async {
            if let Some(error) = self.shut_down() {
                self.endpoint_not_asked();
                return Some(FetchResult::new(Err(error), self.settings.clock.now()));
            }
            self.keep_alive(context, Duration::ZERO);
            if let Some(uses) = self.with_state(|state, now| state.withhold(context.id, now)) {
                uses.ended().await;
            }
            let requested_at = self.settings.clock.now();
            // Much may have happened meanwhile.
            let started = self.with_state(|state, now| {
                state.start_refresh(context.id, refresh_token, held_by, now, &self.settings)
            });
            if let Some(error) = self.shut_down() {
                self.endpoint_not_asked();
                return Some(FetchResult::new(Err(error), requested_at));
            }
            if !started {
                self.endpoint_not_asked();
                return None;
            }
            let call = async { self.source.refresh(refresh_token).await };
            let answer = self.with_timeout(call).await;
            let error = answer.as_ref().err();
            if self.with_state(|state, now| state.refresh_answered(context.id, error, now)) {
                self.emit(&Event::RenewalExclusive);
            }
            Some(FetchResult::new(answer, requested_at))
        };
        let mut fetched = self.with_permit(context, self.endpoint(), call).await?;
        fetched.by = FetchedBy::RefreshToken;
        fetched.sent = Some(refresh_token.clone());
        // No password of a person was sent.
        self.draw_pause(&mut fetched, false);
        Some(fetched)
    }

    /// Returns the error for what would be sent after the cache was shut down.
    pub(crate) fn shut_down(&self) -> Option<TokenError> {
        self.with_state(|state, _| state.is_closed())
            .then(shut_down)
    }

    /// Returns a number that identifies this source's endpoint; the cache's own
    /// number if the source does not report one.
    pub(crate) fn endpoint(&self) -> u64 {
        match self.source.endpoint() {
            0 => self.cache_id,
            endpoint => endpoint,
        }
    }

    /// Records that the call with a permit ends without a request, so its speed says
    /// nothing about the endpoint.
    pub(crate) fn endpoint_not_asked(&self) {
        if self.settings.permits.is_some() {
            permitted_call::release();
        }
    }

    /// Makes a call with a permit, if caches share permits.
    pub(crate) async fn with_permit<F: Future>(
        &self,
        context: FetchContext,
        group: u64,
        call: F,
    ) -> F::Output {
        let Some(permits) = &self.settings.permits else {
            return call.await;
        };
        let wait = |permit| self.wait_for_permit(context, permit);
        permitted_call::with_permit(permits, group, wait, call).await
    }

    /// Waits for a permit. That time is not counted as the fetch's own: while it is
    /// driven, the fetch is not stalled.
    async fn wait_for_permit(
        &self,
        context: FetchContext,
        permit: WaitForPermit,
    ) -> Option<Granted> {
        let mut permit = pin!(permit);
        loop {
            let granted = timeout(self.settings.source_timeout, permit.as_mut()).await;
            self.keep_alive(context, Duration::ZERO);
            if let Ok(granted) = granted {
                return granted;
            }
        }
    }

    /// Draws the pause after a failure that only this cache remembers.
    pub(crate) fn draw_pause(&self, fetched: &mut FetchResult, locks: bool) {
        if let Err(error) = &fetched.answer {
            let (settings, random) = (&self.settings, fastrand::f64());
            let pause =
                self.with_state(|state, _| state.failures.pause(error, locks, settings, random));
            fetched.pause = Some(pause);
        }
    }

    /// Draws the pause before the next login for a longer life.
    fn draw_pause_for_longer(&self, error: &TokenError) -> Duration {
        let (settings, random) = (&self.settings, fastrand::f64());
        let locks = self.source.may_lock();
        self.with_state(|state, _| {
            state
                .rare
                .failed_logins
                .pause(error, locks, settings, random)
        })
    }

    /// Records progress of the fetch: it is stalled only after this much longer
    /// than one call may take.
    pub(crate) fn keep_alive(&self, context: FetchContext, extra: Duration) {
        let limit = self.fetch_deadline() + extra;
        self.with_state(|state, now| state.current_fetch.extend(context.id, now.monotonic, limit));
    }

    /// Returns a source's answer within its time limit, turning a panic into an
    /// error.
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

    /// Ends a session that is no longer needed, if the source supports it.
    pub(crate) fn end_in_background(self: &Arc<Self>, refresh_token: RefreshToken) {
        let shared = self.clone();
        tokio::spawn(async move {
            let ended = shared.source.revoke(None, Some(&refresh_token));
            let _ = shared.with_timeout(ended).await;
        });
    }
}

/// Additional time for a call before its fetch is stalled.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Returns the result of a future; `None` if it panics.
pub(crate) async fn catch_panic<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).map(Some)))
            .unwrap_or_else(|_| None.into())
    })
    .await
}
