//! One history of accounts, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_bearer::accounts::AccountsBearerAuth;
use tower_bearer::{Accounts, AccountsLayer, BoxError, Origins, TokenCache};

use crate::accounts::api::Api;
use crate::accounts::server::Source;
use crate::accounts::state::{KEYS, Key, Mood, World};
use crate::common::{Log, forget_done, play, switch_tasks};

pub(crate) struct History {
    pub(crate) world: World,
    pub(crate) accounts: Accounts<Key>,
    pub(crate) api: AccountsBearerAuth<Api, Key>,
    pub(crate) callers: Vec<JoinHandle<()>>,
    /// Handles that are kept, with the session that each was found to have.
    pub(crate) handles: Vec<(Key, TokenCache, Option<u64>)>,
    pub(crate) capacity: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) log: Log,
}

/// Runs the history of this seed.
pub(crate) fn run(seed: u64) {
    play(
        seed,
        |rng| History::new(seed, rng),
        async |history: &mut History, rng: &mut Rng| {
            history.step(rng).await;
            history.settle().await;
        },
        async |history: &mut History| history.end().await,
    );
}

impl History {
    fn new(seed: u64, rng: &mut Rng) -> Self {
        let (capacity, max) = (rng.usize(1..=KEYS + 1), rng.usize(1..=4));
        let idle_timeout = Duration::from_secs([5, 60, 3600][rng.usize(..3)]);
        let world = World::new(seed, max);
        let sources = world.clone();
        let mut builder = Accounts::builder(move |key: Key| {
            let source = Source::new(sources.clone(), key);
            async { Ok::<_, BoxError>(source) }
        })
        .capacity(capacity)
        .idle_timeout(idle_timeout)
        .max_concurrent_fetches(max);
        if rng.bool() {
            builder = builder.revoke_evicted(Duration::from_millis(rng.u64(..3000)));
        }
        let accounts = builder.build().expect("settings");
        let origins = Origins::only(["https://api.test"]).expect("an origin");
        Self {
            api: AccountsLayer::new(accounts.clone(), origins).layer(Api(world.clone())),
            world,
            accounts,
            callers: Vec::new(),
            handles: Vec::new(),
            capacity,
            idle_timeout,
            log: Log::new(seed),
        }
    }

    /// Lets all happen that can happen now, and looks at what came of it.
    pub(crate) async fn settle(&mut self) {
        switch_tasks().await;
        forget_done(&mut self.callers);
        let mut state = self.world.lock();
        state.find_slow();
        state.kept = self.handles.iter().filter_map(|it| it.2).collect();
        let in_progress = self.accounts.fetches_in_progress();
        let fine = in_progress >= state.calls.len();
        state.check(fine, "calls that are not counted as in progress");
        let now = Instant::now();
        let gone = self
            .handles
            .iter()
            .find(|(key, tokens, session)| session.is_some() && !self.is_kept(*key, tokens));
        let gone = gone.is_some();
        state.check(!gone, "an account evicted of which a handle is kept");
        if self.capacity > KEYS && !state.is_shut_down {
            for key in (0..KEYS).map(Key) {
                let used = state.tenants[key.0].used;
                let stays = used.is_some_and(|used| now < used + self.idle_timeout);
                let there = self.accounts.get(&key).is_some();
                state.check(there || !stays, "an account evicted for no reason");
            }
        }
        let broken = state.broken.take();
        drop(state);
        self.log.expect_kept(broken);
    }

    /// Whether the account of this key is still that of the handle.
    fn is_kept(&self, key: Key, tokens: &TokenCache) -> bool {
        let Some(found) = self.accounts.get(&key) else {
            return false;
        };
        // Caches are told apart by their tokens' generations: enough for most.
        found.status().generation == tokens.status().generation
    }

    /// All is well again, and every account gets a token; then nothing fetches any
    /// more.
    async fn end(&mut self) {
        let seed = self.log.seed;
        self.handles.clear();
        self.world.lock().kept.clear();
        {
            let mut state = self.world.lock();
            state.lifetime = Duration::from_secs(3000);
            for tenant in &mut state.tenants {
                (tenant.mood, tenant.latency) = (Mood::Good, Duration::ZERO);
                tenant.backoff = Default::default();
            }
        }
        // Failures that no account remembers are forgotten by their fingerprint.
        for key in (0..KEYS).map(Key) {
            TokenCache::new(Source::new(self.world.clone(), key)).reset();
        }
        // Two waits of half a minute, and the pause after an unanswered request.
        sleep(Duration::from_secs(100)).await;
        self.settle().await;
        assert!(self.callers.is_empty(), "MODEL_SEED={seed}: left waiting");
        let (len, capacity) = (self.accounts.len(), self.capacity);
        let most = capacity + (capacity / 8).max(1);
        assert!(
            len <= most,
            "MODEL_SEED={seed}: {len} accounts of {capacity}"
        );
        for key in (0..KEYS).map(Key) {
            let tokens = self.accounts.get_or_create(&key).expect("settings");
            tokens.reset();
            let token = tokens.token().await;
            let token = token.unwrap_or_else(|e| panic!("MODEL_SEED={seed}: {e:?}"));
            self.world.lock().handed_token(key, &token);
        }
        assert!(self.accounts.len() <= most, "MODEL_SEED={seed}");
        let ended = self.accounts.shutdown(Duration::from_secs(10)).await;
        assert!(ended.is_ok(), "MODEL_SEED={seed}: {ended:?}");
        self.world.lock().is_shut_down = true;
        for key in (0..KEYS).map(Key) {
            let refused = self.accounts.get_or_create(&key).is_err();
            assert!(refused, "MODEL_SEED={seed}: an account after the shutdown");
        }
        self.settle().await;
        assert_eq!(self.accounts.fetches_in_progress(), 0, "MODEL_SEED={seed}");
    }
}
