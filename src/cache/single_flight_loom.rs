//! Every interleaving of the parties to a flight, by loom's model.
//!
//! The model uses a flight as the cache does: a result is recorded in the state
//! before the driver is done, and `settled` reads it there. A waiter that is never
//! woken is a deadlock, which loom reports.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Waker};

use loom::thread;

use crate::cache::explore_loom::{block_on, explore};
use crate::cache::single_flight::{Driver, Joined, SingleFlight, Waiter};
use crate::sync::model::{Mutex, lock};

/// For models with too many interleavings: all of those with at most this many
/// preemptions.
const BOUND: Option<usize> = Some(3);

/// `Err` is a failure, which the state remembers as well.
type Outcome = Result<usize, usize>;

/// What becomes of a driver.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Lands,
    Fails,
    /// The work panics, which is caught and becomes an error.
    Panics,
    /// The driver's own task panics.
    Unwinds,
    Dropped,
}

/// The cache's part around a flight. What only checks the model is invisible to
/// loom, so that it adds no interleavings.
struct Model {
    flight: SingleFlight<Outcome>,
    state: Mutex<Option<Outcome>>,
    /// The end of each flight; any further flight is one too many.
    ends: &'static [End],
    flights: AtomicUsize,
    driving: AtomicBool,
}

type Shared = std::sync::Arc<Model>;

impl Model {
    fn new(ends: &'static [End]) -> Shared {
        std::sync::Arc::new(Self {
            flight: SingleFlight::new(),
            state: Mutex::new(None),
            ends,
            flights: AtomicUsize::new(0),
            driving: AtomicBool::new(false),
        })
    }

    /// Joins as the cache does. `fly` gets the flight's number.
    fn join(&self, fly: impl FnOnce(usize, Driver<Outcome>)) -> Result<Waiter<Outcome>, Outcome> {
        match self.flight.join(|| (), || false, || *lock(&self.state)) {
            Joined::Settled(outcome) => Err(outcome),
            Joined::Waiting(waiter) => Ok(waiter),
            Joined::Started(driver, waiter) => {
                assert!(!self.driving.swap(true, Relaxed), "two drivers at once");
                let number = self.flights.fetch_add(1, Relaxed);
                assert!(number < self.ends.len(), "a flight too many");
                fly(number, driver);
                Ok(waiter)
            }
        }
    }

    /// The work of flight `number`, to its end.
    fn run(&self, number: usize, driver: Driver<Outcome>) {
        let enter = |outcome| {
            self.work_is_over();
            *lock(&self.state) = Some(outcome);
            outcome
        };
        match self.ends[number] {
            End::Lands => {
                driver.complete(enter(Ok(number)));
            }
            End::Fails => {
                driver.complete(enter(Err(number)));
            }
            End::Panics => {
                let work = || -> Outcome { resume_unwind(Box::new("from the work")) };
                let catch_panic = catch_unwind(work).unwrap_or(Err(number));
                driver.complete(enter(catch_panic));
            }
            End::Unwinds => {
                let task = AssertUnwindSafe(|| {
                    let _driver = driver;
                    self.work_is_over();
                    resume_unwind(Box::new("from the task"))
                });
                let _: Result<(), _> = catch_unwind(task);
            }
            End::Dropped => {
                self.work_is_over();
                drop(driver);
            }
        }
    }

    fn work_is_over(&self) {
        assert!(self.driving.swap(false, Relaxed), "driven already");
    }

    /// A caller that stays until there is an outcome. Each flight is a separate
    /// task.
    fn call(self: &Shared) -> Outcome {
        self.call_with(|model, number, driver| {
            thread::spawn(move || model.run(number, driver));
        })
    }

    fn call_with(self: &Shared, spawn: impl Fn(Shared, usize, Driver<Outcome>)) -> Outcome {
        loop {
            let joined = self.join(|number, driver| spawn(self.clone(), number, driver));
            let outcome = match joined {
                Ok(waiter) => wait(waiter),
                Err(outcome) => Some(outcome),
            };
            if let Some(outcome) = outcome {
                self.check(outcome);
                return outcome;
            }
        }
    }

    /// Everyone gets the outcome of the last flight.
    fn check(&self, outcome: Outcome) {
        let last = self.ends.len() - 1;
        let expected = match self.ends[last] {
            End::Lands => Ok(last),
            _ => Err(last),
        };
        assert_eq!(outcome, expected);
    }

    fn caller(self: &Shared) {
        let model = self.clone();
        thread::spawn(move || model.call());
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.flights.load(Relaxed), self.ends.len(), "flights");
            assert!(!self.driving.load(Relaxed), "a driver that never ended");
        }
    }
}

/// Waits for the end of a flight.
fn wait(mut waiter: Waiter<Outcome>) -> Option<Outcome> {
    block_on(poll_fn(|cx| waiter.poll(cx, None)))
}

/// Polls a waiter once, as a caller does that then does something else.
fn poll_once(waiter: &mut Waiter<Outcome>) {
    let _ = waiter.poll(&mut Context::from_waker(Waker::noop()), None);
}

fn three_callers(bound: Option<usize>, ends: &'static [End]) {
    explore(bound, move || {
        let model = Model::new(ends);
        model.caller();
        model.caller();
        let _ = model.call();
    });
}

#[test]
fn three_waiters_share_a_flight() {
    three_callers(None, &[End::Lands]);
}

#[test]
fn a_failed_flight_fails_for_all() {
    three_callers(None, &[End::Fails]);
}

#[test]
fn a_panic_in_the_work_is_an_outcome_for_all() {
    three_callers(None, &[End::Panics]);
}

#[test]
fn a_dropped_driver_is_followed_by_one_other() {
    three_callers(BOUND, &[End::Dropped, End::Lands]);
}

#[test]
fn an_unwinding_driver_is_followed_by_one_other() {
    // One fewer: for a flight this is like any other dropped driver.
    three_callers(BOUND.map(|bound| bound - 1), &[End::Unwinds, End::Fails]);
}

#[test]
fn two_waiters_outlive_a_dropped_driver() {
    explore(None, || {
        let model = Model::new(&[End::Dropped, End::Lands]);
        model.caller();
        let _ = model.call();
    });
}

#[test]
fn drivers_go_with_their_runtime_and_waiters_do_not() {
    explore(BOUND, || {
        let model = Model::new(&[End::Dropped, End::Lands]);
        // The tasks of a runtime, until it ends.
        let runtime = std::sync::Arc::new(Mutex::new(Some(Vec::new())));
        let caller = || {
            let (model, runtime) = (model.clone(), runtime.clone());
            move || {
                let _ = model.call_with(|model, number, driver| {
                    let task = move || model.run(number, driver);
                    if number > 0 {
                        return task(); // in a runtime that lives on
                    }
                    let ended = match &mut *lock(&runtime) {
                        Some(tasks) => {
                            tasks.push(task);
                            None
                        }
                        None => Some(task),
                    };
                    ended.into_iter().for_each(|task| task());
                });
            }
        };
        thread::spawn(caller());
        thread::spawn(caller());
        let main = caller();
        thread::spawn(move || {
            let tasks = lock(&runtime).take();
            tasks.into_iter().flatten().for_each(|task| task());
        });
        main();
    });
}

/// Callers of which one leaves early and one is polled by two tasks in turn, so that
/// slots and wakers change hands.
fn one_leaves_and_one_moves(bound: Option<usize>, ends: &'static [End], parked: bool) {
    explore(bound, move || {
        let model = Model::new(ends);
        let fly = |model: Shared| {
            move |number, driver| {
                thread::spawn(move || model.run(number, driver));
            }
        };
        let leaver = model.clone();
        thread::spawn(move || match leaver.join(fly(leaver.clone())) {
            Ok(mut waiter) if parked => poll_once(&mut waiter),
            _ => {}
        });
        model.caller();
        let outcome = match model.join(fly(model.clone())) {
            Ok(mut waiter) => {
                poll_once(&mut waiter);
                wait(waiter)
            }
            Err(outcome) => Some(outcome),
        };
        match outcome {
            Some(outcome) => model.check(outcome),
            None => drop(model.call()),
        }
    });
}

#[test]
fn a_waiter_leaves_while_the_driver_lands() {
    one_leaves_and_one_moves(None, &[End::Lands], true);
}

#[test]
fn a_waiter_leaves_that_was_never_polled() {
    one_leaves_and_one_moves(None, &[End::Lands], false);
}

#[test]
fn a_waiter_leaves_while_the_driver_is_dropped() {
    one_leaves_and_one_moves(BOUND, &[End::Dropped, End::Lands], true);
}

#[test]
fn a_lost_flight_strands_nobody_and_takes_nothing_from_the_next() {
    explore(None, || {
        let flight = std::sync::Arc::new(SingleFlight::<Outcome>::new());
        let start = |stalled| match flight.join(|| (), || stalled, || None::<()>) {
            Joined::Started(driver, waiter) => (driver, waiter),
            _ => panic!("no flight of its own"),
        };
        let (late, stranded) = start(false);
        thread::spawn(move || late.complete(Ok(1)));
        thread::spawn(move || assert!(matches!(wait(stranded), None | Some(Ok(1)))));
        // Whether the late one is done or abandoned, there is room.
        let (driver, waiter) = start(true);
        let joined = flight.join(|| (), || false, || None::<()>);
        assert!(matches!(joined, Joined::Waiting(_)), "a flight beside it");
        driver.complete(Ok(2));
        assert_eq!(wait(waiter), Some(Ok(2)));
        drop(start(false));
    });
}

#[test]
fn a_waiter_who_leaves_is_counted_off_once() {
    explore(None, || {
        let flight = SingleFlight::<Outcome>::new();
        let Joined::Started(driver, mut waiter) = flight.join(|| (), || false, || None::<()>)
        else {
            panic!("no flight of its own");
        };
        poll_once(&mut waiter);
        let ending = thread::spawn(move || driver.complete(Ok(1)).callers());
        let left = waiter.leave();
        let counted = ending.join().expect("no panic");
        assert_eq!(usize::from(left) + counted, 1, "by itself or by the driver");
        if counted == 1 {
            assert_eq!(waiter.end(), Some(Some(&Ok(1))));
        }
    });
}
