//! One history of a cache and a layer, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, advance, sleep};
use tower::Layer;
use tower_bearer::{BearerAuth, BearerAuthLayer, Origins, Renewal, TokenCache};

use crate::cache::api::{Api, HOSTS};
use crate::cache::callers::Caller;
use crate::cache::rejections::ORIGINS;
use crate::cache::world::{ApiMood, Mood, World};
use crate::common::{Log, dice, runtime, switch_tasks};
use crate::moment::Moment;

pub(crate) struct History {
    pub(crate) world: World,
    pub(crate) tokens: TokenCache,
    pub(crate) api: BearerAuth<Api>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) numbers: u64,
    pub(super) log: Log,
}

/// Runs the history of this seed.
pub(crate) fn run(seed: u64) {
    let mut rng = dice(seed);
    let phases = 1 + rng.u32(..3);
    let (mut history, mut passed) = (None, Duration::ZERO);
    for phase in 1..=phases {
        let runtime = runtime();
        let is_last = phase == phases;
        passed += runtime.block_on(async {
            advance(passed).await;
            let history = history.get_or_insert_with(|| History::new(seed, &mut rng));
            let start = Instant::now();
            for _ in 0..rng.u32(5..20) {
                history.step(&mut rng).await;
                history.settle().await;
            }
            if is_last {
                history.end().await;
            }
            start.elapsed()
        });
        let history = history.as_mut().expect("it has begun");
        history.world.lock().ending = true;
        let (was_fetching, now) = {
            let _entered = runtime.enter();
            let now = history.world.lock().now();
            (history.tokens.status().is_fetching, now)
        };
        drop(runtime);
        history.runtime_ended(was_fetching, &now);
    }
}

impl History {
    fn new(seed: u64, rng: &mut Rng) -> Self {
        let world = World::new();
        let renewal = set_scene(&world, rng);
        let wall = world.clone();
        let tokens = TokenCache::builder(world.clone())
            .wall_clock(move || wall.wall())
            .renewal(renewal)
            .build()
            .expect("settings");
        let origins = Origins::only(HOSTS).expect("origins");
        let layer = BearerAuthLayer::new(tokens.clone(), origins);
        Self {
            api: layer.layer(Api(world.clone())),
            world,
            tokens,
            callers: Vec::new(),
            numbers: 0,
            log: Log::new(seed),
        }
    }

    /// Lets all happen that can happen now, and looks at what came of it.
    pub(super) async fn settle(&mut self) {
        switch_tasks().await;
        self.callers.retain(|caller| !caller.is_done());
        let status = self.tokens.status();
        let mut state = self.world.lock();
        let now = state.now();
        let exclusive = status.renewal == Renewal::Exclusive;
        if state.reference.exclusive.unsure {
            state.reference.exclusive.on = exclusive;
        }
        let learned = state.reference.exclusive.on;
        state.check(exclusive == learned, "not the renewal that was learned");
        // Whether a token was dropped shows once it could be in use again.
        if state.reference.doubted && state.reference.valid(&now).is_some() {
            state.reference.doubted = false;
            state.reference.token = state
                .reference
                .token
                .filter(|_| status.generation.is_some());
        }
        let valid = state.reference.valid(&now).is_some();
        state.check(status.generation.is_some() == valid, "not the token in use");
        let requesting = state.fetching > 0;
        let fetching = status.is_fetching;
        state.check(fetching || !requesting, "not the fetch under way");
        let between = fetching && !requesting;
        if !requesting && let Err(broken) = state.reference.settled(between, &now) {
            state.check(false, broken);
        }
        // Callers that are not at the API wait for a token.
        let waiting = self.callers.len() > state.at_api.len();
        state.check(!waiting || fetching, "a waiter was left behind");
        let broken = state.broken.take();
        drop(state);
        self.log.expect_kept(broken);
    }

    /// All is well again, and every caller gets what it came for.
    async fn end(&mut self) {
        let seed = self.log.seed;
        {
            let mut state = self.world.lock();
            (state.mood, state.api_moods) = (Mood::Good, [ApiMood::Good; ORIGINS]);
            (state.latency, state.api_latency) = (Duration::ZERO, Duration::ZERO);
            state.lifetime = Some(3000);
        }
        // Two waits of half a minute and two slow answers of the API.
        sleep(Duration::from_secs(100)).await;
        self.settle().await;
        assert!(self.callers.is_empty(), "MODEL_SEED={seed}: left waiting");
        self.tokens.reset();
        self.tokens.invalidate();
        {
            let mut state = self.world.lock();
            state.reference.reset();
            state.reference.token = None;
        }
        let token = self.tokens.token().await;
        assert!(token.is_ok(), "MODEL_SEED={seed}: {token:?}");
        self.settle().await;
        assert_eq!(self.world.lock().fetching, 0);
    }

    /// Work in a runtime that ended counts as never done.
    fn runtime_ended(&mut self, was_fetching: bool, now: &Moment) {
        self.callers.clear();
        let mut state = self.world.lock();
        state.ending = false;
        state.withheld_since = None;
        state.reference.runtime_ended(was_fetching, now);
        assert_eq!((state.fetching, state.at_api.len()), (0, 0));
    }
}

/// Half of all histories begin where refreshes end the token in use, half of those
/// with a cache that knows.
fn set_scene(world: &World, rng: &mut Rng) -> Renewal {
    let mut state = world.lock();
    let scene = rng.u32(..4);
    if scene < 2 {
        return Renewal::Automatic;
    }
    state.ends_access = true;
    state.is_scene = true;
    state.api_latency = Duration::from_millis([500, 5_000][rng.usize(..2)]);
    state.latency = Duration::from_millis(500);
    // Due after five minutes, and never expired.
    state.lifetime = None;
    if scene == 2 {
        return Renewal::Automatic;
    }
    state.reference.exclusive.on = true;
    Renewal::Exclusive
}
