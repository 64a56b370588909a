//! The flight under way, as far as the ledger has to know.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Flying {
    current: Option<Current>,
    count: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    /// It is lost if it has not landed by then: its runtime stands still.
    until: Instant,
}

impl Flying {
    /// A flight takes off, and is lost after `limit`. Gives its number.
    pub(crate) fn take_off(&mut self, now: Instant, limit: Duration) -> u64 {
        self.count += 1;
        self.current = Some(Current {
            number: self.count,
            until: now + limit,
        });
        self.count
    }

    /// A flight may take `limit` from now on.
    pub(crate) fn extend(&mut self, number: u64, now: Instant, limit: Duration) {
        if let Some(current) = self.current.as_mut().filter(|it| it.number == number) {
            current.until = now + limit;
        }
    }

    /// A flight has ended; false if it was lost before.
    pub(crate) fn touch_down(&mut self, number: u64) -> bool {
        self.current.take_if(|it| it.number == number).is_some()
    }

    /// A flight is under way that should have landed long ago.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        self.current.as_ref().is_some_and(|it| now >= it.until)
    }

    /// How long the flight under way may still take.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.current.as_ref()?.until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }
}
