//! State that all handles and tasks of a cache share.

use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cache::clock::Moment;
use crate::cache::credentials::Fingerprints;
use crate::cache::current::{CachedToken, CurrentToken};
use crate::cache::settings::FleetMember;
use crate::cache::settings::SharedSettings;
use crate::cache::single_flight::SingleFlight;
use crate::cache::state::{Rejection, State};
#[cfg(feature = "accounts")]
use crate::cache::version;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::OriginId;
use crate::source::DynTokenSource;
use crate::sync::model::{Mutex, lock};
use crate::task::BackgroundTask;
use crate::telemetry::{self, CacheGauges, Event, Replay};

/// The outcome of a fetch.
pub(crate) type FetchOutcome = Result<Arc<CachedToken>, TokenError>;

/// How a fetch ended for its waiters, and when.
#[derive(Clone)]
pub(crate) struct FetchEnd {
    pub(crate) outcome: FetchOutcome,
    pub(crate) at: Instant,
}

impl From<FetchOutcome> for FetchEnd {
    fn from(outcome: FetchOutcome) -> Self {
        let at = Instant::now();
        Self { outcome, at }
    }
}

pub(crate) struct Shared {
    /// The cache's id in the registry.
    pub(crate) cache_id: u64,
    /// The cache's name in events.
    pub(crate) label: Arc<str>,
    pub(crate) source: Box<dyn DynTokenSource>,
    pub(crate) fleet: Option<Box<FleetMember>>,
    pub(crate) settings: SharedSettings,
    pub(crate) current: CurrentToken,
    /// Whether a token is to be kept warm.
    pub(crate) keeps_warm: AtomicBool,
    /// Notified of each change of the token in use; closed with the last handle.
    pub(crate) changes: Changes,
    seldom: OnceLock<Box<Seldom>>,
    state: Mutex<State>,
    pub(crate) flight: SingleFlight<FetchEnd, Arc<Shared>>,
    pub(crate) gauges: CacheGauges,
}

/// What is created on demand, because few caches need it.
#[derive(Default)]
pub(crate) struct Seldom {
    pub(crate) keep_warm: BackgroundTask,
    /// Held by the shutdown that ends the session.
    pub(crate) ending: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        source: Box<dyn DynTokenSource>,
        fleet: Option<FleetMember>,
        label: Arc<str>,
        settings: SharedSettings,
    ) -> Self {
        let cache_id = next_cache_id();
        let state = State::new(cache_id, &settings);
        Self {
            cache_id,
            gauges: CacheGauges::begin(&label),
            label,
            source,
            fleet: fleet.map(Box::new),
            settings,
            current: CurrentToken::default(),
            keeps_warm: AtomicBool::new(false),
            changes: Changes::default(),
            seldom: OnceLock::new(),
            state: Mutex::new(state),
            flight: SingleFlight::new(),
        }
    }

    pub(crate) fn seldom(&self) -> &Seldom {
        self.seldom.get_or_init(Box::default)
    }

    /// Records that an API rejected this generation at `origin`.
    pub(crate) fn rejected(&self, generation: u64, origin: OriginId, replayed: bool) -> Rejection {
        if replayed {
            let replay = Replay::Rejected;
            self.emit(&Event::Replayed { generation, replay });
        }
        self.read_rejection(generation, origin, replayed)
    }

    /// Reads a rejection. `unproven`: an earlier acceptance by the origin does not
    /// count.
    fn read_rejection(&self, generation: u64, origin: OriginId, unproven: bool) -> Rejection {
        let settings = &self.settings;
        let (rejection, exclusive) = self.with_state(|state, now| {
            let exclusive = state.learn_renewal(generation, now);
            let rejection = state.rejected(generation, origin, unproven, now, settings);
            (rejection, exclusive)
        });
        if exclusive {
            self.emit(&Event::RenewalExclusive);
        }
        if rejection == Rejection::RenewalBackedOff {
            self.emit(&Event::RenewalBackedOff { generation });
        }
        rejection
    }

    /// Records a rejection found after the head of the response, whose acceptance
    /// then does not count.
    pub(crate) fn rejected_late(&self, generation: u64, origin: OriginId) -> Rejection {
        self.read_rejection(generation, origin, true)
    }

    /// Records that an API accepted a request with this generation at `origin`.
    pub(crate) fn accepted(&self, generation: u64, origin: OriginId, replayed: bool) {
        self.with_state(|state, _| state.accepted(generation, origin, replayed));
        if replayed {
            let replay = Replay::Accepted;
            self.emit(&Event::Replayed { generation, replay });
        }
    }

    /// Returns the numbers that failures of the source's credentials are found by in
    /// this process: their fingerprints, or one of this cache's own where they have
    /// none.
    pub(crate) fn credentials(&self) -> Fingerprints {
        let or_own = |fingerprint| match fingerprint {
            0 => own_credentials(self.cache_id),
            fingerprint => fingerprint,
        };
        Fingerprints {
            credentials: or_own(self.source.local_fingerprint()),
            request: or_own(self.source.request_fingerprint()),
        }
    }

    pub(crate) fn emit(&self, event: &Event<'_>) {
        telemetry::emit(&self.label, event);
    }

    /// Reads or changes the state, and publishes a change to the hot path.
    pub(crate) fn with_state<R>(&self, f: impl FnOnce(&mut State, &Moment) -> R) -> R {
        // Before the lock, because the user's wall clock may call the cache.
        self.with_state_at(self.settings.clock.user_wall(), f)
    }

    /// Does the same under another lock, before which the user's wall clock was
    /// read.
    pub(crate) fn with_state_at<R>(
        &self,
        wall: Option<SystemTime>,
        f: impl FnOnce(&mut State, &Moment) -> R,
    ) -> R {
        let mut state = lock(&self.state);
        // Not before the wait for the lock: decisions are made now.
        let now = Moment::at(wall);
        let before = state.live.as_ref().map(Arc::as_ptr);
        let result = f(&mut state, &now);
        let changed = before != state.live.as_ref().map(Arc::as_ptr);
        if let Some(live) = &state.live {
            let quiet = state.quiet_for(&now);
            live.set_fast_from(self.settings.clock.fast_from(quiet));
        }
        if changed {
            self.current.replace(state.live.clone());
        }
        #[cfg(feature = "accounts")]
        let ended = state.has_hot_token && (changed || state.quiet_for(&now).is_zero());
        #[cfg(feature = "accounts")]
        if ended {
            state.has_hot_token = false;
            version::of(self.cache_id).change();
        }
        drop(state);
        // Without the lock, because accounts have their own.
        #[cfg(feature = "accounts")]
        if ended {
            self.source.token_changed(self.cache_id);
        }
        if changed {
            self.changes.notify();
        }
        result
    }
}

fn next_cache_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the number that stands for the credentials of one cache, which nothing
/// distinguishes from others. Not the id: it could equal a fingerprint.
pub(crate) fn own_credentials(cache_id: u64) -> u64 {
    static OF_THIS_PROCESS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    OF_THIS_PROCESS.hash_one(cache_id).max(1)
}

pub(crate) fn no_runtime(error: impl Into<crate::BoxError>) -> TokenError {
    TokenError::new(
        TokenErrorKind::NoRuntime,
        "a token can be fetched within a tokio runtime only",
    )
    .with_source(error)
}

/// A channel that is created for its first listener: most of many accounts have
/// none, and it takes about 500 bytes.
#[derive(Default)]
pub(crate) struct Changes(OnceLock<watch::Sender<()>>);

impl Changes {
    pub(crate) fn notify(&self) {
        if let Some(sender) = self.0.get() {
            // A waker that panics harms only those that watch the status.
            let _ = catch_unwind(AssertUnwindSafe(|| sender.send_replace(())));
        }
    }

    /// Receives later changes, and the end of the last handle.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.get_or_init(|| watch::Sender::new(())).subscribe()
    }
}
