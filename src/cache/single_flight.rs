//! Single flight: one piece of work at a time, any number of waiters.
//!
//! Knows nothing of tokens, and reads no clock. Whoever starts a flight gets its
//! [`Driver`] and decides where that runs; everybody, the starter too, gets a
//! [`Waiter`]. A driver that is dropped before it has done (its task was
//! cancelled, its runtime ended) wakes all waiters empty-handed, and the first of
//! them to come back starts the next flight.
//!
//! A waiter tells until when it waits. So one timer can serve all of them:
//! [`SingleFlight::wake_due`].

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Id;
use tokio::time::Instant;

use crate::sync::model::{Arc, Mutex, lock};

/// The place where flights of one kind are found.
pub(crate) struct SingleFlight<T> {
    current: Arc<Mutex<Option<Arc<InFlight<T>>>>>,
}

/// What came of a call to [`SingleFlight::join`].
pub(crate) enum Joined<T, R, D = Driver<T>> {
    /// The matter was settled meanwhile: no flight is needed.
    Settled(R),
    /// A flight was under way already.
    Waiting(Waiter<T>),
    /// A new flight: the caller has to see to it that the driver runs.
    Started(D, Waiter<T>),
}

impl<T, R> Joined<T, R> {
    pub(crate) fn map_driver<D>(self, f: impl FnOnce(Driver<T>) -> D) -> Joined<T, R, D> {
        match self {
            Self::Settled(result) => Joined::Settled(result),
            Self::Waiting(waiter) => Joined::Waiting(waiter),
            Self::Started(driver, waiter) => Joined::Started(f(driver), waiter),
        }
    }
}

struct InFlight<T> {
    state: Mutex<State<T>>,
    /// The runtime in which one timer serves all waiters.
    timed_in: OnceLock<Id>,
}

enum State<T> {
    Pending(Wakers),
    Done(T),
    Abandoned,
}

impl<T> SingleFlight<T> {
    pub(crate) fn new() -> Self {
        Self {
            current: Arc::new(Mutex::new(None)),
        }
    }

    /// Joins the flight under way, or starts one. A flight that is `stalled` is
    /// abandoned, whatever its driver still does.
    ///
    /// `settled` is asked once more under the lock that a in_flight takes, so a
    /// caller who found nothing before cannot start a second flight just after
    /// the first one's in_flight.
    pub(crate) fn join<R>(
        &self,
        stalled: impl FnOnce() -> bool,
        settled: impl FnOnce() -> Option<R>,
    ) -> Joined<T, R> {
        // Dropped, and so woken, when the lock is free again.
        let mut _stranded = None;
        let mut current = lock(&self.current);
        if let Some(in_flight) = &*current {
            if !stalled() {
                return Joined::Waiting(Waiter::new(in_flight.clone()));
            }
            _stranded = in_flight.end(State::Abandoned);
            *current = None;
        }
        if let Some(result) = settled() {
            return Joined::Settled(result);
        }
        let in_flight = Arc::new(InFlight {
            state: Mutex::new(State::Pending(Wakers::default())),
            timed_in: OnceLock::new(),
        });
        *current = Some(in_flight.clone());
        let driver = Driver {
            current: self.current.clone(),
            in_flight: in_flight.clone(),
            done: false,
        };
        Joined::Started(driver, Waiter::new(in_flight))
    }
}

impl<T> SingleFlight<T> {
    /// Abandons the fetch in progress if it is `stalled`, whatever its driver
    /// still does, and wakes its waiters.
    pub(crate) fn abandon_if(&self, stalled: impl FnOnce() -> bool) {
        // Dropped, and so woken, when the lock is free again.
        let mut _stranded = None;
        let mut current = lock(&self.current);
        if let Some(in_flight) = &*current
            && stalled()
        {
            _stranded = in_flight.end(State::Abandoned);
            *current = None;
        }
    }
}

impl<T> SingleFlight<T> {
    /// Wakes the waiters whose time is over. Returns when that of the next one is,
    /// and how many there are.
    pub(crate) fn wake_due(&self, now: Instant) -> (Option<Instant>, usize) {
        let in_flight = lock(&self.current).clone();
        let Some(in_flight) = in_flight else {
            return (None, 0);
        };
        // Dropped, and so woken, when the lock is free again.
        let mut due = Wakers::default();
        match &mut *lock(&in_flight.state) {
            State::Pending(wakers) => (wakers.take_due(now, &mut due), wakers.count()),
            _ => (None, 0),
        }
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Waits for the end of the flight under way, if there is one.
    pub(crate) async fn wait(&self) {
        let in_flight = lock(&self.current).clone();
        if let Some(in_flight) = in_flight {
            let mut waiter = Waiter::new(in_flight);
            poll_fn(|cx| waiter.poll(cx, None)).await;
        }
    }
}

/// The right and the duty to end a flight.
pub(crate) struct Driver<T> {
    current: Arc<Mutex<Option<Arc<InFlight<T>>>>>,
    in_flight: Arc<InFlight<T>>,
    done: bool,
}

impl<T> Driver<T> {
    /// One timer serves all waiters from now on, in this runtime.
    pub(crate) fn set_timed_in(&self, runtime: Id) {
        let _ = self.in_flight.timed_in.set(runtime);
    }

    /// Ends the flight. Before this is called the result has to be where
    /// `settled` of [`SingleFlight::join`] finds it.
    /// Tells how many were waiting.
    pub(crate) fn complete(mut self, result: T) -> usize {
        self.done = true;
        self.end(State::Done(result))
    }

    fn end(&self, state: State<T>) -> usize {
        let waiting = {
            let mut current = lock(&self.current);
            // A stalled flight has made room for another.
            if current
                .as_ref()
                .is_some_and(|it| Arc::ptr_eq(it, &self.in_flight))
            {
                *current = None;
            }
            self.in_flight.end(state)
        };
        waiting.as_ref().map_or(0, Wakers::count)
    }
}

impl<T> InFlight<T> {
    /// Ends the flight, unless it has ended. What comes back wakes the waiters
    /// when it is dropped.
    fn end(&self, end: State<T>) -> Option<Wakers> {
        let mut state = lock(&self.state);
        match &mut *state {
            State::Pending(wakers) => {
                let wakers = std::mem::take(wakers);
                *state = end;
                Some(wakers)
            }
            _ => None,
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        if !self.done {
            self.end(State::Abandoned);
        }
    }
}

/// A caller parked on a flight. Resolves to the result, or to `None` when the
/// flight was abandoned. Dropping it leaves nothing behind.
pub(crate) struct Waiter<T> {
    in_flight: Arc<InFlight<T>>,
    slot: Option<usize>,
}

impl<T> Waiter<T> {
    fn new(in_flight: Arc<InFlight<T>>) -> Self {
        Self {
            in_flight,
            slot: None,
        }
    }

    /// Whether a timer in this runtime serves all waiters.
    pub(crate) fn is_timed_in(&self, runtime: Id) -> bool {
        self.in_flight.timed_in.get() == Some(&runtime)
    }
}

impl<T: Clone> Waiter<T> {
    /// Polls for the end, and is woken at `due` too, where a timer serves all.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<Option<T>> {
        match &mut *lock(&self.in_flight.state) {
            State::Pending(wakers) => {
                wakers.park(&mut self.slot, cx.waker(), due);
                Poll::Pending
            }
            State::Done(result) => {
                self.slot = None;
                Poll::Ready(Some(result.clone()))
            }
            State::Abandoned => {
                self.slot = None;
                Poll::Ready(None)
            }
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot
            && let State::Pending(wakers) = &mut *lock(&self.in_flight.state)
        {
            wakers.leave(slot);
        }
    }
}

/// The wakers of a flight, by slot; the slot of one who left is used again.
#[derive(Default)]
struct Wakers {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    /// `None` if it was woken, or has left.
    waker: Option<Waker>,
    /// `None` if no timer is to wake it.
    due: Option<Instant>,
}

impl Wakers {
    fn park(&mut self, slot: &mut Option<usize>, waker: &Waker, due: Option<Instant>) {
        if let Some(at) = *slot {
            let slot = &mut self.slots[at];
            match &mut slot.waker {
                Some(parked) => parked.clone_from(waker),
                vacant => *vacant = Some(waker.clone()),
            }
            slot.due = due;
            return;
        }
        let parked = Slot {
            waker: Some(waker.clone()),
            due,
        };
        *slot = Some(match self.free.pop() {
            Some(at) => {
                self.slots[at] = parked;
                at
            }
            None => {
                self.slots.push(parked);
                self.slots.len() - 1
            }
        });
    }

    /// Moves those that are due over, and returns when the next one is.
    fn take_due(&mut self, now: Instant, due: &mut Self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for slot in &mut self.slots {
            match slot.due {
                Some(at) if slot.waker.is_some() && at <= now => due.slots.push(Slot {
                    waker: slot.waker.take(),
                    due: None,
                }),
                Some(at) if slot.waker.is_some() => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                }
                _ => {}
            }
        }
        next
    }

    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn leave(&mut self, slot: usize) {
        self.slots[slot].waker = None;
        self.free.push(slot);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        for waker in self.slots.drain(..).filter_map(|slot| slot.waker) {
            // One that panics keeps no other from being woken.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
