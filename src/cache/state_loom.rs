//! What the hot path and a renewal share, by loom's model.

use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::cache::clock::{Clock, Glance};
use crate::cache::schedule::Plan;
use crate::cache::state::{Current, Live};
use crate::cache::sync::Arc;
use crate::token::AccessToken;

fn live(generation: u64, limit: Glance) -> Arc<Live> {
    let token = AccessToken::new("token").expect("valid");
    let plan = Plan {
        due: Duration::MAX,
        expired: None,
    };
    let born = Clock::default().now();
    let live = Live::new(token.numbered(generation), born, plan, false);
    live.set_glance(limit);
    Arc::new(live)
}

fn at(monotonic: u64, wall: u64) -> Glance {
    Glance { monotonic, wall }
}

/// What a renewal and its reader share.
struct Both {
    current: Current,
    replaced: AtomicBool,
}

/// Runs `read` while the token of generation 1 gives way to `next`.
fn explore(
    old: Glance,
    next: fn() -> Option<Arc<Live>>,
    read: impl Fn(&Both) + Copy + Send + Sync + 'static,
) {
    loom::model(move || {
        let both = Arc::new(Both {
            current: Current::default(),
            replaced: AtomicBool::new(false),
        });
        both.current.replace(Some(live(1, old)));
        let renewal = both.clone();
        thread::spawn(move || {
            renewal.current.replace(next());
            renewal.replaced.store(true, Ordering::Release);
        });
        let other = both.clone();
        thread::spawn(move || read(&other));
        read(&both);
    });
}

/// Reads a token, and tries it when it may have been replaced.
fn read_early(both: &Both) {
    let held = both.current.read();
    let replaced = both.replaced.load(Ordering::Acquire);
    if let Some(live) = held.filter(|live| live.suffices(at(50, 50))) {
        assert!(!replaced || live.generation() == 2, "an old token");
    }
}

#[test]
fn a_token_that_was_renewed_suffices_no_more() {
    explore(at(100, 100), || Some(live(2, at(200, 200))), read_early);
}

#[test]
fn a_token_that_was_rejected_suffices_no_more() {
    explore(at(100, 100), || None, read_early);
}

#[test]
fn no_token_is_read_with_the_limit_of_another() {
    // Each limit is too low on one of the clocks.
    explore(
        at(100, 300),
        || Some(live(2, at(300, 100))),
        |both| {
            let sufficient = |live: &Arc<Live>| live.suffices(at(200, 200));
            assert!(!both.current.read().as_ref().is_some_and(sufficient));
        },
    );
}

#[test]
fn a_token_outlives_its_predecessor() {
    explore(
        at(100, 100),
        || Some(live(2, at(200, 200))),
        |both| {
            let replaced = both.replaced.load(Ordering::Acquire);
            let live = both.current.read().expect("a token");
            assert_eq!(live.suffices(at(150, 150)), live.generation() == 2);
            assert!(!replaced || live.generation() == 2, "an old token");
        },
    );
}
