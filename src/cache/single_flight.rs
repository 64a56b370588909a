//! Single flight: one piece of work at a time, any number of waiters.
//!
//! Knows nothing of tokens, and reads no clock. The starter of a flight gets its
//! [`Driver`] and decides where that runs; everyone, including the starter, gets a
//! [`Waiter`]. A driver that is dropped before it is done (its task was cancelled,
//! its runtime ended) wakes all waiters empty-handed, and the first of them to
//! return starts the next flight.
//!
//! A waiter says until when it waits, so one timer can serve all of them:
//! [`SingleFlight::wake_due`].

use std::future::poll_fn;
use std::sync::OnceLock;
#[cfg(all(test, tower_bearer_loom))]
use std::task::ready;
use std::task::{Context, Poll};

use tokio::runtime::Id;
use tokio::time::Instant;

use crate::cache::parked::{Due, Parked, VACANT, wake};
use crate::sync::model::{Arc, Mutex, Once, lock};

/// The place to find flights of one kind.
pub(crate) struct SingleFlight<T, O = ()> {
    current: Arc<Current<T, O>>,
}

type Current<T, O> = Mutex<Option<Arc<InFlight<T, O>>>>;

/// The result of [`SingleFlight::join`].
pub(crate) enum Joined<T, R, O = (), D = Driver<T, O>> {
    /// Settled meanwhile: no flight is needed.
    Settled(R),
    /// A flight was already in progress.
    Waiting(Waiter<T, O>),
    /// A new flight: the caller must make sure that the driver runs.
    Started(D, Waiter<T, O>),
}

impl<T, R, O> Joined<T, R, O> {
    pub(crate) fn map_driver<D>(self, f: impl FnOnce(Driver<T, O>) -> D) -> Joined<T, R, O, D> {
        match self {
            Self::Settled(result) => Joined::Settled(result),
            Self::Waiting(waiter) => Joined::Waiting(waiter),
            Self::Started(driver, waiter) => Joined::Started(f(driver), waiter),
        }
    }
}

struct InFlight<T, O> {
    /// The owner of its waiters, held once for all of them.
    owner: O,
    /// `None` once it has ended.
    parked: Mutex<Option<Parked>>,
    /// How it ended, readable without a lock: `None` if it was abandoned.
    end: Once<Option<T>>,
    /// The runtime in which one timer serves all waiters, and the start of its time.
    timed: OnceLock<(Id, Instant)>,
}

impl<T, O> SingleFlight<T, O> {
    pub(crate) fn new() -> Self {
        Self {
            current: Arc::new(Mutex::new(None)),
        }
    }

    /// Joins the flight in progress, or starts one that belongs to `owner`. A flight
    /// that is `stalled` is abandoned, whatever its driver still does.
    ///
    /// `settled` is checked once more under the lock that the end of a flight takes,
    /// so a caller that found nothing before cannot start a second flight just after
    /// the first one has ended.
    pub(crate) fn join<R>(
        &self,
        owner: impl FnOnce() -> O,
        stalled: impl FnOnce() -> bool,
        settled: impl FnOnce() -> Option<R>,
    ) -> Joined<T, R, O> {
        // Dropped, and so woken, after the lock is released.
        let mut _stranded = None;
        let mut current = lock(&self.current);
        if let Some(in_flight) = &*current {
            if !stalled() {
                return Joined::Waiting(Waiter::new(in_flight.clone()));
            }
            _stranded = in_flight.end(None);
            *current = None;
        }
        if let Some(result) = settled() {
            return Joined::Settled(result);
        }
        let in_flight = Arc::new(InFlight {
            owner: owner(),
            parked: Mutex::new(Some(Parked::default())),
            end: Once::default(),
            timed: OnceLock::new(),
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

impl<T, O> SingleFlight<T, O> {
    /// Abandons the flight in progress if it is `stalled`, whatever its driver still
    /// does, and wakes its waiters.
    pub(crate) fn abandon_if(&self, stalled: impl FnOnce() -> bool) {
        // Dropped, and so woken, after the lock is released.
        let mut _stranded = None;
        let mut current = lock(&self.current);
        if let Some(in_flight) = &*current
            && stalled()
        {
            _stranded = in_flight.end(None);
            *current = None;
        }
    }
}

impl<T, O> SingleFlight<T, O> {
    /// Wakes the waiters whose time is over. Returns when the next one's is, and how
    /// many there are.
    pub(crate) fn wake_due(&self, now: Instant) -> (Option<Instant>, usize) {
        let in_flight = lock(&self.current).clone();
        let Some(in_flight) = in_flight else {
            return (None, 0);
        };
        let Some((_, from)) = in_flight.timed.get() else {
            return (None, 0);
        };
        // Woken after the lock is released.
        let mut due = Vec::new();
        let next = match &mut *lock(&in_flight.parked) {
            Some(parked) => (parked.take_due(*from, now, &mut due), parked.count()),
            None => (None, 0),
        };
        due.into_iter().for_each(wake);
        next
    }

    /// Waits for the end of the flight in progress, if there is one.
    pub(crate) async fn wait(&self) {
        let in_flight = lock(&self.current).clone();
        if let Some(in_flight) = in_flight {
            let mut waiter = Waiter::new(in_flight);
            waiter.is_caller = false;
            poll_fn(|cx| waiter.poll_end(cx, None)).await;
        }
    }
}

/// The right and the duty to end a flight.
pub(crate) struct Driver<T, O = ()> {
    current: Arc<Current<T, O>>,
    in_flight: Arc<InFlight<T, O>>,
    done: bool,
}

impl<T, O> Driver<T, O> {
    /// Records that one timer in this runtime serves all waiters from now on.
    pub(crate) fn set_timed_in(&self, runtime: Id, now: Instant) {
        let _ = self.in_flight.timed.set((runtime, now));
    }

    /// Ends the flight. The result must be where `settled` of [`SingleFlight::join`]
    /// finds it before this is called.
    ///
    /// Returns those that were parked, who are woken when it is dropped.
    pub(crate) fn complete(mut self, result: T) -> Parked {
        self.done = true;
        self.end(Some(result)).unwrap_or_default()
    }

    /// Returns the time from which the times of those that were parked are counted.
    pub(crate) fn timed_from(&self) -> Option<Instant> {
        self.in_flight.timed.get().map(|(_, from)| *from)
    }

    /// Ends the flight. Dropping the returned value wakes the waiters.
    fn end(&self, end: Option<T>) -> Option<Parked> {
        let mut current = lock(&self.current);
        // A stalled flight has been replaced by another.
        if current
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, &self.in_flight))
        {
            *current = None;
        }
        self.in_flight.end(end)
    }
}

impl<T, O> InFlight<T, O> {
    /// Ends the flight, unless it has ended. Dropping the returned value wakes the
    /// waiters.
    fn end(&self, end: Option<T>) -> Option<Parked> {
        let mut parked = lock(&self.parked);
        let woken = parked.take()?;
        // Before the lock is released: a waiter that finds no place to park finds
        // the end.
        self.end.set(end);
        Some(woken)
    }
}

impl<T, O> Drop for Driver<T, O> {
    fn drop(&mut self) {
        if !self.done {
            drop(self.end(None));
        }
    }
}

/// A caller of a flight, which is parked once it was polled. Dropping it leaves
/// nothing behind.
pub(crate) struct Waiter<T, O = ()> {
    in_flight: Arc<InFlight<T, O>>,
    /// [`VACANT`] if it has none.
    slot: u32,
    /// False for the end of a cache, which waits for a flight too.
    is_caller: bool,
}

impl<T, O> Waiter<T, O> {
    fn new(in_flight: Arc<InFlight<T, O>>) -> Self {
        Self {
            in_flight,
            slot: VACANT,
            is_caller: true,
        }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.in_flight.owner
    }

    /// Returns whether a timer in this runtime serves all waiters.
    pub(crate) fn is_timed_in(&self, runtime: Id) -> bool {
        let timed = self.in_flight.timed.get();
        timed.is_some_and(|(id, _)| *id == runtime)
    }

    /// Returns how the flight ended, once it has: `None` if it was abandoned. Takes
    /// no lock.
    pub(crate) fn end(&self) -> Option<Option<&T>> {
        self.in_flight.end.get().map(Option::as_ref)
    }

    /// Polls for the end; also woken at `due`, if one timer serves all.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Self {
            in_flight, slot, ..
        } = self;
        let parked = &mut *lock(&in_flight.parked);
        let Some(parked) = parked else {
            *slot = VACANT;
            return Poll::Ready(());
        };
        let due = due.zip(in_flight.timed.get());
        let due = due.map_or(Due::NEVER, |(at, (_, from))| Due::new(at, *from));
        parked.park(slot, cx.waker(), due, self.is_caller);
        Poll::Pending
    }

    /// Leaves the flight. Returns whether it was still in progress.
    pub(crate) fn leave(&mut self) -> bool {
        let slot = std::mem::replace(&mut self.slot, VACANT);
        if slot == VACANT {
            return false;
        }
        let left = match &mut *lock(&self.in_flight.parked) {
            Some(parked) => parked.leave(slot, self.is_caller),
            None => return false,
        };
        // Not under the lock: dropping a waker may run its owner's code.
        drop(left);
        true
    }
}

impl<T: Clone, O> Waiter<T, O> {
    /// Polls for the result, or for `None` when the flight was abandoned.
    #[cfg(all(test, tower_bearer_loom))]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<Option<T>> {
        // As a parked caller does. Checking earlier is not another interleaving than
        // checking under the lock.
        if self.slot == VACANT || self.end().is_none() {
            ready!(self.poll_end(cx, due));
        }
        self.slot = VACANT;
        Poll::Ready(self.end().flatten().cloned())
    }
}

impl<T, O> Drop for Waiter<T, O> {
    fn drop(&mut self) {
        // If it has ended, nothing is left of its place.
        if self.slot != VACANT && self.end().is_none() {
            self.leave();
        }
    }
}
