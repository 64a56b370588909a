//! One history: what happens to a cache and a layer, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep};
use tower::Layer;
use tower_bearer::{BearerAuth, BearerAuthLayer, Origins, Renewal, TokenCache};

use crate::api::Api;
use crate::callers::Caller;
use crate::world::{ApiMood, Mood, World};

/// More task switches than any chain of events takes at one moment.
const SWITCHES: usize = 24;

pub(crate) struct History {
    pub(crate) world: World,
    pub(crate) tokens: TokenCache,
    pub(crate) api: BearerAuth<Api>,
    pub(crate) callers: Vec<Caller>,
    pub(crate) numbers: u64,
    seed: u64,
    log: Vec<String>,
}

/// Runs the history of this seed.
pub(crate) fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    // The cache's own dice.
    fastrand::seed(seed);
    let phases = 1 + rng.u32(..3);
    let (mut history, mut passed) = (None, Duration::ZERO);
    for phase in 1..=phases {
        let mut builder = Builder::new_current_thread();
        let builder = builder.enable_time().start_paused(true);
        let runtime = builder.build().expect("a runtime");
        let is_last = phase == phases;
        passed += runtime.block_on(async {
            advance(passed).await;
            let history = history.get_or_insert_with(|| History::new(seed));
            let start = Instant::now();
            for _ in 0..rng.u32(5..20) {
                history.step(&mut rng).await;
                history.settle().await;
                if history.is_exclusive() {
                    break;
                }
            }
            if is_last && !history.is_exclusive() {
                history.end().await;
            }
            start.elapsed()
        });
        let history = history.as_mut().expect("it has begun");
        history.world.lock().ending = true;
        drop(runtime);
        history.runtime_ended();
    }
}

impl History {
    fn new(seed: u64) -> Self {
        let world = World::new();
        let wall = world.clone();
        let tokens = TokenCache::builder(world.clone())
            .wall_clock(move || wall.wall())
            .build()
            .expect("settings");
        let origins = Origins::only(["https://api.test"]).expect("an origin");
        let layer = BearerAuthLayer::new(tokens.clone(), origins);
        Self {
            api: layer.layer(Api(world.clone())),
            world,
            tokens,
            callers: Vec::new(),
            numbers: 0,
            seed,
            log: Vec::new(),
        }
    }

    async fn step(&mut self, rng: &mut Rng) {
        let step = rng.u32(..32);
        let now = self.world.lock().now();
        self.log.push(format!("{step:2} {:?}", now.wall));
        match step {
            0..=11 => {
                for _ in 0..rng.u32(1..4) {
                    self.call(rng).await;
                    self.settle().await;
                }
            }
            12..=14 => sleep(Duration::from_millis(rng.u64(..2000))).await,
            15..=17 => sleep(Duration::from_secs(rng.u64(..100))).await,
            18..=19 => {
                // Not thousands of renewals of tokens that live a second.
                let is_short = self.world.lock().lifetime.is_some_and(|life| life < 60);
                let most = if is_short { 40 } else { 4000 };
                sleep(Duration::from_secs(rng.u64(..most))).await;
            }
            20 => self.world.lock().ahead += rng.u64(..4_000_000),
            21 => {
                let mut state = self.world.lock();
                // One that had expired is back, if nobody has noticed.
                let now = state.now();
                state.reference.doubted |= state.reference.valid(&now).is_none();
                state.ahead -= rng.u64(..4_000_000);
            }
            22 => self.world.lock().live.clear(),
            23 => self.world.lock().sessions.clear(),
            24..=25 => self.world.lock().mood = mood(rng),
            26 => self.world.lock().api_mood = api_mood(rng),
            27 => self.set_latencies(rng),
            28 => self.set_lifetimes(rng),
            29 => {
                if !self.callers.is_empty() {
                    let at = rng.usize(..self.callers.len());
                    self.callers.swap_remove(at).leave();
                }
            }
            30 => {
                self.tokens.invalidate();
                self.world.lock().reference.token = None;
            }
            _ if rng.bool() => self.tokens.keep_warm(),
            _ => {
                self.tokens.reset();
                self.world.lock().reference.reset();
            }
        }
    }

    fn set_latencies(&self, rng: &mut Rng) {
        let mut state = self.world.lock();
        let choices = [0, 0, 500, 5_000, 20_000, 40_000];
        state.latency = Duration::from_millis(choices[rng.usize(..choices.len())]);
        state.api_latency = Duration::from_millis([0, 50, 5_000][rng.usize(..3)]);
    }

    fn set_lifetimes(&self, rng: &mut Rng) {
        let mut state = self.world.lock();
        let choices = [Some(3000), Some(3000), Some(60), Some(1), Some(0), None];
        state.lifetime = choices[rng.usize(..choices.len())];
        state.refresh_lifetime = [Some(7200), Some(50), None][rng.usize(..3)];
        state.gives_refresh = rng.u32(..4) > 0;
        state.rotates = rng.bool();
    }

    /// The cache has gone over to exclusive renewal: those who come during a
    /// refresh wait from now on, which the reference does not know. The history
    /// ends here.
    fn is_exclusive(&self) -> bool {
        self.tokens.status().renewal == Renewal::Exclusive
    }

    /// Lets all happen that can happen now, and looks at what came of it.
    async fn settle(&mut self) {
        for _ in 0..SWITCHES {
            yield_now().await;
        }
        self.callers.retain(|caller| !caller.is_done());
        if self.is_exclusive() {
            return;
        }
        let status = self.tokens.status();
        let mut state = self.world.lock();
        let now = state.now();
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
        // Who is not at the API waits for a token.
        let waiting = self.callers.len() > state.at_api as usize;
        state.check(!waiting || fetching, "a waiter was left behind");
        if let Some(broken) = state.broken.first() {
            let history = self.log.join("\n");
            let broken = broken.clone();
            drop(state);
            let seed = self.seed;
            panic!("{history}\nMODEL_SEED={seed}: {broken}");
        }
    }

    /// All is well again, and everybody gets what they came for.
    async fn end(&mut self) {
        let seed = self.seed;
        {
            let mut state = self.world.lock();
            (state.mood, state.api_mood) = (Mood::Good, ApiMood::Good);
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

    /// What was under way in a runtime that ended is as if it had not been.
    fn runtime_ended(&mut self) {
        self.callers.clear();
        let mut state = self.world.lock();
        state.ending = false;
        state.reference.runtime_ended();
        assert_eq!((state.fetching, state.at_api), (0, 0));
    }
}

fn mood(rng: &mut Rng) -> Mood {
    match rng.u32(..10) {
        0..=3 => Mood::Good,
        4 => Mood::Down(None),
        5 => Mood::Down(Some([1, 100, 1000][rng.usize(..3)])),
        6 => Mood::Refusing,
        7 => Mood::Babbling,
        8 => Mood::Unconnected,
        _ => Mood::Panicking,
    }
}

fn api_mood(rng: &mut Rng) -> ApiMood {
    match rng.u32(..6) {
        0..=2 => ApiMood::Good,
        3 => ApiMood::Rejecting,
        4 => ApiMood::Odd,
        _ => ApiMood::Failing,
    }
}
