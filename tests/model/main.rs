//! Random histories against a small reference that is obviously right.
//!
//! Callers come, leave and time out; the server delays, fails, refuses, rotates,
//! revokes and answers 401; time passes, the wall clock jumps, runtimes end. At
//! each step: never two fetches at once, never an expired token sent, no caller
//! waits while a valid token exists, no fetch without a cause or before its
//! pause is over, no password sent while a refresh token is alive, no waiter
//! left behind.
//!
//! `MODEL_HISTORIES=1000000` runs that many, `MODEL_SEED=17` one alone.

#![cfg(feature = "testing")]

mod api;
mod callers;
mod history;
mod reference;
mod server;
mod world;

use std::env::var;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};

/// The panics that the server is told to have.
const SCRIPTED: &str = "a scripted panic";

fn setting(name: &str) -> Option<u64> {
    var(name).ok().map(|text| text.parse().expect(name))
}

#[test]
fn every_history_keeps_the_promises() {
    let noisy = take_hook();
    set_hook(Box::new(move |info| {
        if info.payload_as_str() != Some(SCRIPTED) {
            noisy(info);
        }
    }));
    if let Some(seed) = setting("MODEL_SEED") {
        return history::run(seed);
    }
    let histories = setting("MODEL_HISTORIES").unwrap_or(10_000);
    let (first, next) = (fastrand::u64(..u64::MAX - histories), AtomicU64::new(0));
    println!("MODEL_SEED={first} and the {histories} from there on");
    let threads = available_parallelism().map_or(1, usize::from);
    scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= histories {
                        break;
                    }
                    let seed = first + number;
                    let run = catch_unwind(AssertUnwindSafe(|| history::run(seed)));
                    if run.is_err() {
                        next.store(histories, Ordering::Relaxed);
                        panic!("the history of MODEL_SEED={seed} broke a promise");
                    }
                }
            });
        }
    });
}
