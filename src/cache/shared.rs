//! The cache's inside: ledger, flight and source put together.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cache::builder::Settings;
use crate::cache::clock::{Glance, Moment};
use crate::cache::flight::{Driver, Flight, Joined, Waiter};
use crate::cache::keeper::{self, Keeper};
use crate::cache::ledger::{Ledger, Look, Rejection, Want};
use crate::cache::registry;
use crate::cache::sentry;
use crate::cache::state::{Current, Live};
use crate::error::{TokenError, TokenErrorKind};
use crate::source::DynTokenSource;
use crate::token::TokenResponse;

/// How a flight ends.
pub(crate) type Outcome = Result<Arc<Live>, TokenError>;

pub(crate) struct Shared {
    pub(crate) number: u64,
    pub(crate) source: Box<dyn DynTokenSource>,
    pub(crate) settings: Settings,
    pub(crate) current: Current,
    pub(crate) keeper: Mutex<Keeper>,
    pub(crate) sentry: Mutex<Option<JoinHandle<()>>>,
    /// Told of each change of the token in use; closed with the last handle.
    pub(crate) changes: watch::Sender<()>,
    ledger: Mutex<Ledger>,
    flight: Flight<Outcome>,
}

/// What a caller does next.
pub(crate) enum Step {
    Serve(Arc<Live>),
    Fail(TokenError),
    Wait(Waiter<Outcome>),
}

impl Shared {
    pub(crate) fn new(source: Box<dyn DynTokenSource>, settings: Settings) -> Self {
        Self {
            number: registry::next_number(),
            source,
            settings,
            current: Current::default(),
            keeper: Mutex::default(),
            sentry: Mutex::default(),
            changes: watch::Sender::new(()),
            ledger: Mutex::default(),
            flight: Flight::new(),
        }
    }

    /// The closer look: serves, starts a renewal, or has the caller wait.
    pub(crate) fn look(self: &Arc<Self>, want: Want) -> Step {
        match self.with_ledger(|ledger, now| ledger.look(want, now)) {
            Look::Serve { live, renew } => {
                if renew {
                    self.renew();
                }
                Step::Serve(live)
            }
            Look::Fail(error) => Step::Fail(error),
            Look::Fetch => self.fetch(want),
        }
    }

    fn fetch(self: &Arc<Self>, want: Want) -> Step {
        let joined = self.flight.join(|| {
            self.with_ledger(|ledger, now| match ledger.look(want, now) {
                Look::Serve { live, .. } => Some(Step::Serve(live)),
                Look::Fail(error) => Some(Step::Fail(error)),
                Look::Fetch => {
                    ledger.flying = true;
                    None
                }
            })
        });
        match joined {
            Joined::Settled(step) => step,
            Joined::Waiting(waiter) => Step::Wait(waiter),
            Joined::Started(driver, waiter) => match self.take_off(driver) {
                Ok(()) => Step::Wait(waiter),
                Err(error) => Step::Fail(error),
            },
        }
    }

    /// Starts a renewal in the background, unless one is under way. Outside a
    /// runtime nothing happens: the token in use is still valid.
    fn renew(self: &Arc<Self>) {
        let joined = self.flight.join(|| {
            self.with_ledger(|ledger, now| match ledger.look(Want::default(), now) {
                Look::Serve { renew: true, .. } => {
                    ledger.flying = true;
                    None
                }
                _ => Some(()),
            })
        });
        if let Joined::Started(driver, _) = joined {
            let _ = self.take_off(driver);
        }
    }

    /// Gives the flight a task of its own, so that no caller's leaving ends it.
    fn take_off(self: &Arc<Self>, driver: Driver<Outcome>) -> Result<(), TokenError> {
        let pilot = Pilot {
            shared: self.clone(),
            driver: Some(driver),
        };
        let runtime = Handle::try_current().map_err(no_runtime)?;
        runtime.spawn(pilot.fly());
        Ok(())
    }

    /// Asks the source: with the refresh token if there is one, with its own
    /// credentials otherwise or when the refresh token is refused.
    async fn ask(&self) -> (Result<TokenResponse, TokenError>, bool, Moment) {
        let windows = &self.settings.windows;
        let refresh_token = self.with_ledger(|ledger, now| ledger.refresh_token(now, windows));
        if let Some(refresh_token) = refresh_token {
            let born = self.settings.clock.now();
            let answer = self.bounded(async { self.source.refresh(&refresh_token).await });
            match answer.await {
                Err(error) if error.kind() == TokenErrorKind::Refused => {
                    self.with_ledger(|ledger, _| ledger.forget_refresh_token());
                }
                answer => return (answer, true, born),
            }
        }
        let born = self.settings.clock.now();
        let answer = self.bounded(async { self.source.fetch().await }).await;
        (answer, false, born)
    }

    /// A source's answer within its time, a panic turned into an error.
    async fn bounded(
        &self,
        answer: impl Future<Output = Result<TokenResponse, TokenError>>,
    ) -> Result<TokenResponse, TokenError> {
        let mut answer = pin!(answer);
        let caught = poll_fn(|cx| {
            catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx))).unwrap_or_else(|_| {
                let what = "the token source panicked";
                Err(TokenError::new(TokenErrorKind::Panicked, what)).into()
            })
        });
        let limit = self.settings.source_timeout;
        tokio::time::timeout(limit, caught)
            .await
            .unwrap_or_else(|_| {
                let what = format!("the token source did not answer within {limit:?}");
                Err(TokenError::new(TokenErrorKind::Timeout, what))
            })
    }

    /// The API answered 401 to a request with this generation.
    pub(crate) fn rejected(&self, generation: u64, replayed: bool) -> Rejection {
        let backoff = &self.settings.backoff;
        self.with_ledger(|ledger, now| ledger.rejected(generation, replayed, now, backoff))
    }

    /// The API accepted a request with this generation.
    pub(crate) fn accepted(&self, generation: u64, replayed: bool) {
        self.with_ledger(|ledger, _| ledger.accepted(generation, replayed));
    }

    /// Reads or changes the ledger, and makes a change known to the hot path.
    pub(crate) fn with_ledger<R>(&self, f: impl FnOnce(&mut Ledger, &Moment) -> R) -> R {
        let now = self.settings.clock.now();
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let before = ledger.live.as_ref().map(Arc::as_ptr);
        let result = f(&mut ledger, &now);
        let changed = before != ledger.live.as_ref().map(Arc::as_ptr);
        let mut armed = false;
        if let Some(live) = &ledger.live {
            armed = live.set_limit(match ledger.quiet(&now) {
                quiet if ledger.guarded => self.settings.clock.glance_limit(quiet),
                _ => Glance::NEVER,
            });
        }
        if changed {
            self.current.replace(ledger.live.clone());
        }
        drop(ledger);
        if changed || armed {
            self.changes.send_replace(());
        }
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        registry::strike(self.number);
    }
}

pub(crate) fn no_runtime(error: impl Into<crate::BoxError>) -> TokenError {
    TokenError::new(
        TokenErrorKind::NoRuntime,
        "a token can be fetched within a tokio runtime only",
    )
    .because(error)
}

/// The task of a flight. Dropped before its end, it leaves the cache as if the
/// flight had not been.
struct Pilot {
    shared: Arc<Shared>,
    driver: Option<Driver<Outcome>>,
}

impl Pilot {
    async fn fly(mut self) {
        let shared = self.shared.clone();
        let (answer, refreshed, born) = shared.ask().await;
        let Settings {
            windows, backoff, ..
        } = &shared.settings;
        let outcome = shared.with_ledger(|ledger, now| {
            ledger.flying = false;
            answer
                .and_then(|response| {
                    ledger.enter(response, refreshed, born, now, windows, fastrand::f64())
                })
                .map_err(|error| ledger.fail(error, now, backoff, fastrand::f64()))
        });
        keeper::ensure(&shared);
        sentry::ensure(&shared);
        if let Some(driver) = self.driver.take() {
            driver.land(outcome);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if self.driver.is_some() {
            self.shared.with_ledger(|ledger, _| ledger.flying = false);
        }
    }
}
