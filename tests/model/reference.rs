//! What the cache has to know, and what follows from it.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A point in time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) awake: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    /// By the clock that went further.
    pub(crate) fn age(&self, now: &Self) -> Duration {
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.awake.saturating_duration_since(self.awake).max(wall)
    }
}

/// A token of either sort, as its receiver knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) serial: u64,
    pub(crate) born: Moment,
    pub(crate) lifetime: Option<Duration>,
}

impl Known {
    /// The age from which it must not be sent.
    pub(crate) fn end(&self) -> Option<Duration> {
        let life = self.lifetime?;
        let margin = life.mul_f64(0.1).min(Duration::from_secs(10));
        Some(life - margin)
    }

    pub(crate) fn is_valid(&self, now: &Moment) -> bool {
        self.end().is_none_or(|end| self.born.age(now) < end)
    }

    /// Whether it may be due: jitter makes it later, never earlier.
    pub(crate) fn may_be_due(&self, now: &Moment) -> bool {
        let due = match self.lifetime {
            Some(life) => life - life.mul_f64(0.2).min(Duration::from_secs(300)),
            None => Duration::from_secs(270),
        };
        self.born.age(now) >= due
    }
}

/// The cache as it should be.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) token: Option<Known>,
    pub(crate) refresh: Option<Known>,
    /// A 401 came, and the token in use may have been given up for it.
    pub(crate) doubted: bool,
    failures: u32,
    refusals: u32,
    /// No fetch before the first, and none is denied from the second on.
    pause: Option<(Instant, Instant)>,
}

impl Reference {
    pub(crate) fn valid(&self, now: &Moment) -> Option<&Known> {
        self.token.as_ref().filter(|token| token.is_valid(now))
    }

    pub(crate) fn live_refresh(&self, now: &Moment) -> Option<&Known> {
        self.refresh.as_ref().filter(|token| token.is_valid(now))
    }

    pub(crate) fn may_fetch(&self, now: &Moment) -> bool {
        self.pause.is_none_or(|(least, _)| now.awake >= least)
    }

    pub(crate) fn may_deny(&self, now: &Moment) -> bool {
        self.pause.is_some_and(|(_, most)| now.awake < most)
    }

    /// A token came. Whether it may be used: one that is dead already is a
    /// failure.
    pub(crate) fn received(&mut self, token: Known, now: &Moment) {
        if token.is_valid(now) {
            self.token = Some(token);
            self.doubted = false;
            self.forgive();
        } else {
            self.failed(None, now);
        }
    }

    /// What may pass by itself: a random pause, but no shorter than asked for.
    pub(crate) fn failed(&mut self, asked: Option<Duration>, now: &Moment) {
        let asked = asked.unwrap_or_default().min(Duration::from_secs(300));
        let bound = doubled(Duration::from_millis(250), self.failures).min(Duration::from_secs(30));
        self.failures += 1;
        self.pause = Some((now.awake + asked, now.awake + bound.max(asked)));
    }

    pub(crate) fn refused(&mut self, now: &Moment) {
        let pause = doubled(Duration::from_secs(60), self.refusals).min(Duration::from_secs(900));
        self.refusals += 1;
        self.failures = 0;
        self.pause = Some((now.awake + pause, now.awake + pause));
    }

    pub(crate) fn forgive(&mut self) {
        (self.failures, self.refusals, self.pause) = (0, 0, None);
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first * 2_u32.pow(times.min(10))
}
