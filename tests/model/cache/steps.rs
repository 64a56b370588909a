//! The steps of a history.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use crate::cache::history::History;
use crate::cache::rejections::ORIGINS;
use crate::cache::world::{ApiMood, Mood};

impl History {
    pub(super) async fn step(&mut self, rng: &mut Rng) {
        let step = match self.world.lock().is_scene {
            // Calls after a long while, and endpoints that fail now and then.
            true => [0, 5, 14, 15, 18, 19, 24, 26][rng.usize(..8)],
            false => rng.u32(..32),
        };
        let step = if rng.u32(..4) == 0 {
            rng.u32(..32)
        } else {
            step
        };
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
                // A token that had expired is back, if that was not noticed.
                let now = state.now();
                state.reference.doubted |= state.reference.valid(&now).is_none();
                state.ahead -= rng.u64(..4_000_000);
            }
            22 => self.world.lock().live.clear(),
            23 => self.world.lock().sessions.clear(),
            24..=25 => self.world.lock().mood = mood(rng),
            26 => self.world.lock().api_moods[rng.usize(..ORIGINS)] = api_mood(rng),
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
        state.ends_access = rng.bool();
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
    match rng.u32(..7) {
        0..=2 => ApiMood::Good,
        3 => ApiMood::Rejecting,
        4 => ApiMood::Odd,
        5 => ApiMood::OneRoute,
        _ => ApiMood::Failing,
    }
}
