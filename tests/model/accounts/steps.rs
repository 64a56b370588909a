//! The steps of a history of accounts.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use http::Request;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::ServiceExt;
use tower_bearer::TokenErrorKind;

use crate::accounts::history::History;
use crate::accounts::server::latency;
use crate::accounts::state::{KEYS, Key, Mood};

impl History {
    pub(super) async fn step(&mut self, rng: &mut Rng) {
        let step = rng.u32(..32);
        let key = Key(rng.usize(..KEYS));
        self.log
            .push(format!("{step:2} {key:?} {:?}", Instant::now()));
        match step {
            0..=7 => {
                for _ in 0..rng.usize(1..KEYS) {
                    self.ask(Key(rng.usize(..KEYS)), rng).await;
                }
            }
            8..=13 => self.send(key, rng).await,
            14..=16 => sleep(Duration::from_millis(rng.u64(..2000))).await,
            17..=18 => sleep(Duration::from_secs(rng.u64(..100))).await,
            // At once, if no caller waits: the maintenance runs each second.
            19 if self.callers.is_empty() && self.world.lock().calls.is_empty() => {
                advance(Duration::from_secs(rng.u64(..10_000))).await;
            }
            19 => sleep(Duration::from_secs(rng.u64(..50))).await,
            20..=21 => self.world.lock().tenants[key.0].latency = latency(rng),
            22..=24 => self.world.lock().tenants[key.0].mood = mood(rng),
            25 => self.remove(key),
            26..=27 => self.keep(key).await,
            28 => {
                if !self.handles.is_empty() {
                    self.handles.swap_remove(rng.usize(..self.handles.len()));
                }
            }
            29 => {
                // The server forgets the access tokens of a key.
                self.world.lock().live.retain(|_, owner| *owner != key);
            }
            30 => {
                let lifetime = [20, 300, 3000][rng.usize(..3)];
                self.world.lock().lifetime = Duration::from_secs(lifetime);
            }
            31 if rng.bool() => {
                if let Some(tokens) = self.accounts.get(&key) {
                    tokens.reset();
                    self.world.lock().tenants[key.0].backoff = Default::default();
                }
            }
            _ => {
                if !self.callers.is_empty() {
                    let at = rng.usize(..self.callers.len());
                    self.callers.swap_remove(at).abort();
                }
            }
        }
    }

    fn uses(&self, key: Key) {
        self.world.lock().tenants[key.0].used = Some(Instant::now());
    }

    async fn ask(&mut self, key: Key, rng: &mut Rng) {
        let world = self.world.clone();
        let patience = Duration::from_millis(rng.u64(..60_000));
        let accounts = self.accounts.clone();
        self.uses(key);
        self.callers.push(tokio::spawn(async move {
            let Ok(tokens) = accounts.get_or_create(&key) else {
                return world.lock().check(false, "no account");
            };
            let Ok(answer) = timeout(patience, tokens.token()).await else {
                return;
            };
            let mut state = world.lock();
            match answer {
                Ok(token) => drop(state.handed_token(key, &token)),
                Err(error) => {
                    let odd = matches!(error.kind(), TokenErrorKind::NoRuntime);
                    state.check(!odd, "an error out of nowhere");
                }
            }
        }));
        self.settle().await;
    }

    async fn send(&mut self, key: Key, rng: &mut Rng) {
        let api = self.api.clone();
        let patience = Duration::from_millis(rng.u64(..60_000));
        let request = Request::get("https://api.test/").extension(key);
        let request = request.body(()).expect("a request");
        self.uses(key);
        self.callers.push(tokio::spawn(async move {
            let _ = timeout(patience, api.oneshot(request)).await;
        }));
        self.settle().await;
    }

    fn remove(&mut self, key: Key) {
        self.handles.retain(|(kept, ..)| *kept != key);
        {
            let mut state = self.world.lock();
            state.tenants[key.0].removals += 1;
            state.tenants[key.0].used = None;
            state.kept = self.handles.iter().filter_map(|it| it.2).collect();
        }
        self.accounts.remove(&key);
    }

    /// Keeps a handle, and looks which session it has.
    async fn keep(&mut self, key: Key) {
        self.uses(key);
        let tokens = self.accounts.get_or_create(&key).expect("settings");
        let mut token = Box::pin(tokens.token());
        let at_once = poll_fn(|cx| Poll::Ready(token.as_mut().poll(cx))).await;
        drop(token);
        let session = match at_once {
            Poll::Ready(Ok(token)) => Some(self.world.lock().handed_token(key, &token)),
            _ => None,
        };
        self.handles.push((key, tokens, session));
    }
}

fn mood(rng: &mut Rng) -> Mood {
    match rng.u32(..10) {
        0..=3 => Mood::Good,
        4..=5 => Mood::Refusing,
        6 => Mood::Odd([200, 204, 302][rng.usize(..3)]),
        7..=8 => Mood::Failing,
        _ => Mood::Unconnected,
    }
}
