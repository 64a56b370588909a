//! Single flight: one piece of work at a time, any number of waiters.
//!
//! Knows nothing of tokens, of time or of a runtime. Whoever starts a flight
//! gets its [`Driver`] and decides where that runs; everybody, the starter too,
//! gets a [`Waiter`]. A driver that is dropped before it has landed (its task
//! was cancelled, its runtime ended) wakes all waiters empty-handed, and the
//! first of them to come back starts the next flight.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::cache::sync::{Arc, Mutex, lock};

/// The place where flights of one kind are found.
pub(crate) struct Flight<T> {
    current: Arc<Mutex<Option<Arc<Landing<T>>>>>,
}

/// What came of a call to [`Flight::join`].
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

struct Landing<T> {
    progress: Mutex<Progress<T>>,
}

enum Progress<T> {
    Flying(Wakers),
    Landed(T),
    Abandoned,
}

impl<T> Flight<T> {
    pub(crate) fn new() -> Self {
        Self {
            current: Arc::new(Mutex::new(None)),
        }
    }

    /// Joins the flight under way, or starts one. A flight that is `lost` is
    /// abandoned, whatever its driver still does.
    ///
    /// `settled` is asked once more under the lock that a landing takes, so a
    /// caller who found nothing before cannot start a second flight just after
    /// the first one's landing.
    pub(crate) fn join<R>(
        &self,
        lost: impl FnOnce() -> bool,
        settled: impl FnOnce() -> Option<R>,
    ) -> Joined<T, R> {
        // Dropped, and so woken, when the lock is free again.
        let mut _stranded = None;
        let mut current = lock(&self.current);
        if let Some(landing) = &*current {
            if !lost() {
                return Joined::Waiting(Waiter::new(landing.clone()));
            }
            _stranded = landing.end(Progress::Abandoned);
            *current = None;
        }
        if let Some(result) = settled() {
            return Joined::Settled(result);
        }
        let landing = Arc::new(Landing {
            progress: Mutex::new(Progress::Flying(Wakers::default())),
        });
        *current = Some(landing.clone());
        let driver = Driver {
            current: self.current.clone(),
            landing: landing.clone(),
            landed: false,
        };
        Joined::Started(driver, Waiter::new(landing))
    }
}

impl<T: Clone> Flight<T> {
    /// Waits for the end of the flight under way, if there is one.
    pub(crate) async fn ended(&self) {
        let landing = lock(&self.current).clone();
        if let Some(landing) = landing {
            Waiter::new(landing).await;
        }
    }
}

/// The right and the duty to end a flight.
pub(crate) struct Driver<T> {
    current: Arc<Mutex<Option<Arc<Landing<T>>>>>,
    landing: Arc<Landing<T>>,
    landed: bool,
}

impl<T> Driver<T> {
    /// Ends the flight. Before this is called the result has to be where
    /// `settled` of [`Flight::join`] finds it.
    /// Tells how many were waiting.
    pub(crate) fn land(mut self, result: T) -> usize {
        self.landed = true;
        self.end(Progress::Landed(result))
    }

    fn end(&self, progress: Progress<T>) -> usize {
        let waiting = {
            let mut current = lock(&self.current);
            // A lost flight has made room for another.
            if current
                .as_ref()
                .is_some_and(|it| Arc::ptr_eq(it, &self.landing))
            {
                *current = None;
            }
            self.landing.end(progress)
        };
        waiting.as_ref().map_or(0, Wakers::count)
    }
}

impl<T> Landing<T> {
    /// Ends the flight, unless it has ended. What comes back wakes the waiters
    /// when it is dropped.
    fn end(&self, end: Progress<T>) -> Option<Wakers> {
        let mut progress = lock(&self.progress);
        match &mut *progress {
            Progress::Flying(wakers) => {
                let wakers = std::mem::take(wakers);
                *progress = end;
                Some(wakers)
            }
            _ => None,
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        if !self.landed {
            self.end(Progress::Abandoned);
        }
    }
}

/// A caller parked on a flight. Resolves to the result, or to `None` when the
/// flight was abandoned. Dropping it leaves nothing behind.
pub(crate) struct Waiter<T> {
    landing: Arc<Landing<T>>,
    slot: Option<usize>,
}

impl<T> Waiter<T> {
    fn new(landing: Arc<Landing<T>>) -> Self {
        Self {
            landing,
            slot: None,
        }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut *lock(&this.landing.progress) {
            Progress::Flying(wakers) => {
                wakers.park(&mut this.slot, cx.waker());
                Poll::Pending
            }
            Progress::Landed(result) => {
                this.slot = None;
                Poll::Ready(Some(result.clone()))
            }
            Progress::Abandoned => {
                this.slot = None;
                Poll::Ready(None)
            }
        }
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot
            && let Progress::Flying(wakers) = &mut *lock(&self.landing.progress)
        {
            wakers.leave(slot);
        }
    }
}

/// The wakers of a flight, by slot; the slot of one who left is used again.
#[derive(Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Wakers {
    fn park(&mut self, slot: &mut Option<usize>, waker: &Waker) {
        match *slot {
            Some(at) => match &mut self.slots[at] {
                Some(parked) => parked.clone_from(waker),
                vacant => *vacant = Some(waker.clone()),
            },
            None => {
                let parked = Some(waker.clone());
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
        }
    }

    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn leave(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.slots.drain(..).flatten().for_each(Waker::wake);
    }
}
