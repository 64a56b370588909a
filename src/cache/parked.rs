//! The wakers of those parked on a flight, by slot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// Wakers by slot; a slot that was left is reused. Dropping it wakes all.
#[derive(Default)]
pub(crate) struct Parked {
    /// All chunks but the last are full, so a growing number of waiters moves none.
    chunks: Vec<Vec<Slot>>,
    free: Vec<u32>,
    /// How many of them are not callers.
    others: usize,
}

/// No slot. A waiter without a slot is as small as with one.
pub(crate) const VACANT: u32 = u32::MAX;

/// The number of slots in a chunk.
const CHUNK: usize = 256;

struct Slot {
    /// `None` once it was woken, or has left.
    waker: Option<Waker>,
    due: Due,
}

/// When a timer wakes a waiter: nanoseconds from when the timer was set up, half the
/// size of an `Option<Instant>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(u64);

impl Due {
    /// No timer wakes it.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Returns the time `at`, counted from `from`.
    pub(crate) fn new(at: Instant, from: Instant) -> Self {
        let nanos = at.saturating_duration_since(from).as_nanos();
        u64::try_from(nanos).map_or(Self::NEVER, Self)
    }

    fn at(self, from: Instant) -> Instant {
        from + Duration::from_nanos(self.0)
    }
}

impl Parked {
    /// Parks a waiter that already has this slot, or is [`VACANT`] and gets one.
    pub(crate) fn park(&mut self, slot: &mut u32, waker: &Waker, due: Due, is_caller: bool) {
        if *slot != VACANT {
            let parked = self.slot(*slot);
            match &mut parked.waker {
                Some(parked) => parked.clone_from(waker),
                vacant => *vacant = Some(waker.clone()),
            }
            parked.due = due;
            return;
        }
        self.others += usize::from(!is_caller);
        let parked = Slot {
            waker: Some(waker.clone()),
            due,
        };
        *slot = match self.free.pop() {
            Some(at) => {
                *self.slot(at) = parked;
                at
            }
            None => self.push(parked),
        };
    }

    fn push(&mut self, parked: Slot) -> u32 {
        if self.chunks.last().is_none_or(|it| it.len() == CHUNK) {
            // The first chunk grows: most flights have few waiters.
            let capacity = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let at = self.slots();
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(parked);
        }
        u32::try_from(at).expect("fewer than 2^32 tasks wait")
    }

    fn slot(&mut self, at: u32) -> &mut Slot {
        let at = at as usize;
        &mut self.chunks[at / CHUNK][at % CHUNK]
    }

    /// Takes the wakers that are due, and returns when the next one is.
    pub(crate) fn take_due(
        &mut self,
        from: Instant,
        now: Instant,
        due: &mut Vec<Waker>,
    ) -> Option<Instant> {
        let until = Due::new(now, from);
        let mut next = Due::NEVER;
        for slot in self.chunks.iter_mut().flatten() {
            if slot.due <= until && slot.due != Due::NEVER {
                due.extend(slot.waker.take());
            } else if slot.waker.is_some() {
                next = next.min(slot.due);
            }
        }
        (next != Due::NEVER).then(|| next.at(from))
    }

    fn slots(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    /// Returns the number of all that are parked.
    pub(crate) fn count(&self) -> usize {
        self.slots() - self.free.len()
    }

    /// Returns the number of parked callers.
    pub(crate) fn callers(&self) -> usize {
        self.count() - self.others
    }

    /// Empties a slot. The returned waker must be dropped without the lock.
    pub(crate) fn leave(&mut self, slot: u32, is_caller: bool) -> Option<Waker> {
        self.others -= usize::from(!is_caller);
        self.free.push(slot);
        let slot = self.slot(slot);
        slot.due = Due::NEVER;
        slot.waker.take()
    }
}

impl Parked {
    /// Wakes all.
    pub(crate) fn wake(&mut self) {
        let slots = self.chunks.iter_mut().flatten();
        slots.filter_map(|slot| slot.waker.take()).for_each(wake);
    }

    /// Returns how much time each parked waiter with a timer had left. Times are
    /// counted from `from`.
    pub(crate) fn left(&self, from: Instant, now: Instant) -> impl Iterator<Item = Duration> {
        let now = Due::new(now, from);
        let slots = self.chunks.iter().flatten();
        let timed = slots.filter(|slot| slot.due != Due::NEVER);
        timed.map(move |slot| Duration::from_nanos(slot.due.0.saturating_sub(now.0)))
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.wake();
    }
}

/// Wakes one. A waker that panics must not keep others from being woken.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}
