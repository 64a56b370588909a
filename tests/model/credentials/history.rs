//! One history of credentials, drawn from a seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower_bearer::{PasswordGrant, TokenCache, TokenErrorKind};

use crate::common::{Log, forget_done, play, switch_tasks};
use crate::credentials::server::{Mood, PASSWORDS, Password, Server};

const CACHES: usize = 4;

struct History {
    server: Server,
    /// Each with the number of its password.
    caches: Vec<(usize, TokenCache)>,
    callers: Vec<JoinHandle<()>>,
    log: Log,
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
        let mut history = Self {
            server: Server::new(),
            caches: Vec::new(),
            callers: Vec::new(),
            log: Log::new(seed),
        };
        for _ in 0..CACHES {
            let cache = history.cache(rng.usize(..PASSWORDS));
            history.caches.push(cache);
        }
        history
    }

    /// A new cache with this password of the user, who is in no other history.
    fn cache(&self, password: usize) -> (usize, TokenCache) {
        let user = format!("u{}", self.log.seed);
        let url = "http://localhost/token";
        let grant = PasswordGrant::new(url, "api", user, format!("p{password}"));
        let grant = grant.expect("loopback").transport(self.server.clone());
        (password, TokenCache::new(grant))
    }

    async fn step(&mut self, rng: &mut Rng) {
        let step = rng.u32(..20);
        self.log.push(format!("{step:2} {:?}", Instant::now()));
        match step {
            0..=7 => {
                for _ in 0..rng.usize(1..4) {
                    let (_, tokens) = &self.caches[rng.usize(..CACHES)];
                    self.ask(tokens.clone(), rng);
                    self.settle().await;
                }
            }
            8..=9 => sleep(Duration::from_millis(rng.u64(..3000))).await,
            10..=11 => sleep(Duration::from_secs(rng.u64(..100))).await,
            12 => sleep(Duration::from_secs(rng.u64(..10_000))).await,
            // Another cache, perhaps with other credentials.
            13 => self.caches[rng.usize(..CACHES)] = self.cache(rng.usize(..PASSWORDS)),
            // The user has another password.
            14 => self.server.lock().right = rng.usize(..=PASSWORDS),
            15 => {
                let mood = [
                    Mood::Good,
                    Mood::Good,
                    Mood::Failing(500),
                    Mood::Failing(429),
                ];
                self.server.lock().mood = mood[rng.usize(..mood.len())];
            }
            16 => {
                let millis = [0, 0, 900, 2500][rng.usize(..4)];
                self.server.lock().latency = Duration::from_millis(millis);
            }
            17 => self.server.lock().word_refusals(rng),
            18 => {
                let (_, tokens) = &self.caches[rng.usize(..CACHES)];
                tokens.invalidate();
            }
            _ => {
                let (password, tokens) = &self.caches[rng.usize(..CACHES)];
                tokens.reset();
                let mut state = self.server.lock();
                let is_sent = state.passwords[*password].is_sent;
                state.passwords[*password] = Password {
                    is_sent,
                    ..Password::default()
                };
            }
        }
    }

    fn ask(&mut self, tokens: TokenCache, rng: &mut Rng) {
        let patience = Duration::from_millis(rng.u64(..60_000));
        let server = self.server.clone();
        self.callers.push(tokio::spawn(async move {
            if let Ok(Err(error)) = timeout(patience, tokens.token()).await {
                let odd = matches!(error.kind(), TokenErrorKind::NoRuntime);
                server.lock().check(!odd, "an error out of nowhere");
            }
        }));
    }

    /// Lets all happen that can happen now, and looks at what came of it.
    async fn settle(&mut self) {
        switch_tasks().await;
        forget_done(&mut self.callers);
        let broken = self.server.lock().broken.take();
        self.log.expect_kept(broken);
    }

    /// All is well again: the right password yields a token at once, unless it was
    /// refused, and a wrong one is denied for as long as it should be.
    async fn end(&mut self) {
        let seed = self.log.seed;
        {
            let mut state = self.server.lock();
            (state.right, state.mood, state.latency) = (1, Mood::Good, Duration::ZERO);
        }
        // Two waits of half a minute.
        sleep(Duration::from_secs(100)).await;
        self.settle().await;
        assert!(self.callers.is_empty(), "MODEL_SEED={seed}: left waiting");
        for password in 0..PASSWORDS {
            let (_, tokens) = self.cache(password);
            let now = Instant::now();
            let (before, may_deny) = {
                let state = self.server.lock();
                (
                    state.tokens,
                    state.passwords[password].backoff.may_deny(now),
                )
            };
            let answer = tokens.token().await;
            self.settle().await;
            let logged_in = self.server.lock().tokens > before;
            let fine = answer.is_ok() == logged_in && (logged_in || may_deny || password == 0);
            assert!(fine, "MODEL_SEED={seed}: password {password}: {answer:?}");
        }
        for password in 0..PASSWORDS {
            let (_, tokens) = self.cache(password);
            tokens.reset();
            let answer = tokens.token().await;
            assert_eq!(
                answer.is_ok(),
                password == 1,
                "MODEL_SEED={seed}: {answer:?}"
            );
            // Nothing of this history is left in the process.
            tokens.reset();
        }
    }
}
