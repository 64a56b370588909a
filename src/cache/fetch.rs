//! Fetching: who starts a fetch, and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::cache::current::CachedToken;
use crate::cache::exclusive::InUse;
use crate::cache::fetch_task::FetchTask;
use crate::cache::shared::{FetchEnd, Shared};
use crate::cache::single_flight::{Joined, Waiter};
use crate::cache::source_call::{FetchContext, GRACE, Purpose};
use crate::cache::state::{Begun, Lookup, Requirements};
use crate::error::TokenError;

/// What a caller does next.
pub(crate) enum Next {
    Serve {
        live: Arc<CachedToken>,
        /// To be kept until the token was sent and answered.
        in_use: Option<InUse>,
    },
    Fail(TokenError),
    Wait {
        waiter: Waiter<FetchEnd, Arc<Shared>>,
        /// Whether the caller started the fetch, in its own runtime.
        started: bool,
    },
}

impl Shared {
    /// Serves a token, starts a renewal, or makes the caller wait.
    pub(crate) fn lookup(self: &Arc<Self>, needs: Requirements) -> Next {
        match self.with_state(|state, now| state.lookup(needs, now)) {
            Lookup::Serve {
                live,
                in_use,
                renew,
            } => {
                if renew {
                    self.renew();
                }
                Next::Serve { live, in_use }
            }
            Lookup::Fail(error) if self.may_reread(&error) => self.fetch(needs, Purpose::Reread),
            Lookup::Fail(error) => self.peek(needs, error),
            Lookup::Fetch => self.fetch(needs, Purpose::Token),
        }
    }

    /// Looks for another process's token while this one may not fetch.
    fn peek(self: &Arc<Self>, needs: Requirements, error: TokenError) -> Next {
        let peeks = self.fleet.is_some()
            && Handle::try_current().is_ok()
            && self.with_state(|state, now| state.may_peek(now.monotonic));
        match peeks {
            true => self.fetch(needs, Purpose::Peek),
            false => Next::Fail(error),
        }
    }

    /// Returns whether refused credentials are to be read from their files again.
    fn may_reread(&self, error: &TokenError) -> bool {
        Handle::try_current().is_ok()
            && self.with_state(|state, now| state.may_reread(error, now.monotonic))
            && self.source.contents().is_some()
    }

    fn fetch(self: &Arc<Self>, needs: Requirements, purpose: Purpose) -> Next {
        let joined = self.join(needs, purpose, |lookup| match lookup {
            Lookup::Serve { live, in_use, .. } => Some(Next::Serve { live, in_use }),
            Lookup::Fail(_) if purpose != Purpose::Token => None,
            Lookup::Fail(error) => Some(Next::Fail(error)),
            Lookup::Fetch => None,
        });
        match joined {
            Joined::Settled(next) => next,
            Joined::Waiting(waiter) => Next::Wait {
                waiter,
                started: false,
            },
            Joined::Started(task, waiter) => match task.spawn(true) {
                Ok(()) => Next::Wait {
                    waiter,
                    started: true,
                },
                Err(error) => Next::Fail(error),
            },
        }
    }

    /// Starts a renewal in the background, unless a fetch is in progress. Does
    /// nothing outside a runtime: the token in use is still valid.
    fn renew(self: &Arc<Self>) {
        let joined = self.join(
            Requirements::default(),
            Purpose::Token,
            |lookup| match lookup {
                Lookup::Serve { renew: true, .. } => None,
                _ => Some(()),
            },
        );
        if let Joined::Started(task, _) = joined {
            let _ = task.spawn(false);
        }
    }

    /// Calls the fleet's store again in the background, if there is a valid token
    /// and no fetch in progress.
    pub(crate) fn start_rejoin(self: &Arc<Self>) {
        let joined = self.join(
            Requirements::default(),
            Purpose::Rejoin,
            |lookup| match lookup {
                Lookup::Serve { .. } => None,
                _ => Some(()),
            },
        );
        if let Joined::Started(task, _) = joined {
            let _ = task.spawn(false);
        }
    }

    /// Starts a fetch of a token newer than a rejected one, for later callers: the
    /// one that met the rejection does not wait for it.
    pub(crate) fn renew_rejected(self: &Arc<Self>, generation: u64) {
        let needs = Requirements {
            newer_than: generation,
            ..Requirements::default()
        };
        if Handle::try_current().is_ok() {
            let _ = self.lookup(needs);
        }
    }

    /// Joins the fetch in progress. Starts one if a second lookup, with which no
    /// other call can interfere, requires it.
    fn join<R>(
        self: &Arc<Self>,
        needs: Requirements,
        purpose: Purpose,
        settled: impl FnOnce(Lookup) -> Option<R>,
    ) -> Joined<FetchEnd, R, Arc<Shared>, FetchTask> {
        let limit = self.fetch_deadline();
        let wall = self.settings.clock.user_wall();
        let mut begun = Begun::default();
        let joined = self.flight.join(
            || self.clone(),
            || {
                self.with_state_at(wall, |state, now| {
                    state.current_fetch.give_up(now.monotonic)
                })
            },
            || {
                self.with_state_at(wall, |state, now| {
                    let settled = settled(state.lookup(needs, now));
                    if settled.is_none() {
                        begun = state.begin_fetch(needs, now, limit);
                    }
                    settled
                })
            },
        );
        joined.map_driver(|driver| {
            let context = FetchContext {
                id: begun.id,
                needs,
                started: Instant::now(),
                purpose,
            };
            FetchTask::new(self.clone(), begun.reason, context, driver)
        })
    }

    /// Returns the time after which a fetch without progress is stalled.
    pub(crate) fn fetch_deadline(&self) -> Duration {
        let call = self.settings.source_timeout + GRACE;
        match &self.fleet {
            // It also waits for other processes, and for the store.
            Some(_) => {
                let store = self.settings.store_timeout * 4 + self.settings.store_connect_timeout;
                call + self.settings.fleet_patience() + store
            }
            None => call,
        }
    }
}
