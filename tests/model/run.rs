//! Runs many histories, on all processors.

use std::env::var;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{available_parallelism, scope};

/// The panics that the server is told to have.
pub(crate) const SCRIPTED: &str = "a scripted panic";

fn setting(name: &str) -> Option<u64> {
    var(name).ok().map(|text| text.parse().expect(name))
}

/// Scripted panics are not shown.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let noisy = take_hook();
        set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&SCRIPTED) {
                noisy(info);
            }
        }));
    });
}

/// Runs as many histories of this kind as are asked for, or one of `share`.
pub(crate) fn histories(kind: &str, share: u64, run: impl Fn(u64) + Sync) {
    hush();
    if let Some(seed) = setting("MODEL_SEED") {
        return run(seed);
    }
    let histories = setting("MODEL_HISTORIES").unwrap_or(10_000) / share;
    let (first, next) = (fastrand::u64(..u64::MAX - histories), AtomicU64::new(0));
    println!("{kind}: MODEL_SEED={first} and the {histories} from there on");
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
                    if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                        next.store(histories, Ordering::Relaxed);
                        panic!(
                            "the history of MODEL_SEED={seed} of {kind}, number {}, broke a promise",
                            number + 1
                        );
                    }
                }
            });
        }
    });
}
