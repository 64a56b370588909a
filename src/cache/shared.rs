//! What all handles and tasks of a cache share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::cache::changes::Changes;
use crate::cache::clock::{Glance, Moment};
use crate::cache::flight::Flight;
use crate::cache::ledger::{Ledger, Rejection};
use crate::cache::membership::Fleet;
use crate::cache::settings::Common;
use crate::cache::state::{Current, Live};
use crate::error::{TokenError, TokenErrorKind};
use crate::events::{self, Event, Replay};
use crate::source::DynTokenSource;

/// How a flight ends.
pub(crate) type Outcome = Result<Arc<Live>, TokenError>;

/// The task that keeps a token warm, if it is wanted.
#[derive(Default)]
pub(crate) struct Keeper {
    /// Starts the task unless it runs.
    pub(crate) ensure: Option<fn(&Arc<Shared>)>,
    pub(crate) task: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    /// What the registry knows it by.
    pub(crate) number: u64,
    /// What it is called in events.
    pub(crate) label: Arc<str>,
    pub(crate) source: Box<dyn DynTokenSource>,
    pub(crate) fleet: Option<Box<Fleet>>,
    pub(crate) settings: Common,
    pub(crate) current: Current,
    pub(crate) keeper: Mutex<Keeper>,
    pub(crate) sentry: Mutex<Option<JoinHandle<()>>>,
    /// Told of each change of the token in use; closed with the last handle.
    pub(crate) changes: Changes,
    ledger: Mutex<Ledger>,
    pub(crate) flight: Flight<Outcome>,
}

impl Shared {
    pub(crate) fn new(
        source: Box<dyn DynTokenSource>,
        fleet: Option<Fleet>,
        label: Arc<str>,
        settings: Common,
    ) -> Self {
        let striped = settings.guarded_every.is_none();
        Self {
            number: next_number(),
            label,
            source,
            fleet: fleet.map(Box::new),
            settings,
            current: Current::default(),
            keeper: Mutex::default(),
            sentry: Mutex::default(),
            changes: Changes::default(),
            ledger: Mutex::new(Ledger::new(striped)),
            flight: Flight::new(),
        }
    }

    /// The API answered 401 to a request with this generation.
    pub(crate) fn rejected(&self, generation: u64, replayed: bool) -> Rejection {
        let backoff = &self.settings.backoff;
        let rejection =
            self.with_ledger(|ledger, now| ledger.rejected(generation, replayed, now, backoff));
        if replayed {
            let replay = Replay::Rejected;
            self.tell(&Event::Replayed { generation, replay });
        }
        if rejection == Rejection::HeldBack {
            self.tell(&Event::HeldBack { generation });
        }
        rejection
    }

    /// The API accepted a request with this generation.
    pub(crate) fn accepted(&self, generation: u64, replayed: bool) {
        self.with_ledger(|ledger, _| ledger.accepted(generation, replayed));
        if replayed {
            let replay = Replay::Accepted;
            self.tell(&Event::Replayed { generation, replay });
        }
    }

    /// Whether somebody watches the token in use, who has many to watch.
    #[cfg(feature = "accounts")]
    pub(crate) fn set_guarded(&self, guarded: bool) {
        self.with_ledger(|ledger, _| ledger.guarded = guarded);
    }

    /// For whoever noticed that the wall clock was set back.
    #[cfg(feature = "accounts")]
    pub(crate) fn look_at_the_clock(&self) {
        self.with_ledger(|_, _| ());
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        events::tell(&self.label, event);
    }

    /// Reads or changes the ledger, and makes a change known to the hot path.
    pub(crate) fn with_ledger<R>(&self, f: impl FnOnce(&mut Ledger, &Moment) -> R) -> R {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        // Not before the wait for the lock: decisions are made now.
        let now = self.settings.clock.now();
        let before = ledger.live.as_ref().map(Arc::as_ptr);
        let result = f(&mut ledger, &now);
        let changed = before != ledger.live.as_ref().map(Arc::as_ptr);
        let mut armed = false;
        if let Some(live) = &ledger.live {
            armed = live.set_limit(match ledger.quiet(&now) {
                quiet if ledger.guarded && self.settings.may_glance_at(&live.token) => {
                    self.settings.clock.glance_limit(quiet)
                }
                _ => Glance::NEVER,
            });
        }
        if changed {
            self.current.replace(ledger.live.clone());
        }
        drop(ledger);
        if changed || armed {
            self.changes.tell();
        }
        result
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn no_runtime(error: impl Into<crate::BoxError>) -> TokenError {
    TokenError::new(
        TokenErrorKind::NoRuntime,
        "a token can be fetched within a tokio runtime only",
    )
    .because(error)
}
