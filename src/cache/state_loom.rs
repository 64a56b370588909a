//! What the hot path and a renewal share, by loom's model.

use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::cache::clock::{Clock, Glance};
use crate::cache::schedule::Plan;
use crate::cache::state::{Current, Live, Reader};
use crate::cache::sync::Arc;
use crate::token::AccessToken;

const FOREVER: Glance = Glance(u64::MAX);

fn live(generation: u64, limit: Glance) -> Arc<Live> {
    let token = AccessToken::new("token").expect("valid");
    let plan = Plan {
        due: Duration::MAX,
        expired: None,
    };
    let born = Clock::default().now();
    let live = Live::new(token.numbered(generation), born, plan, false);
    live.set_limit(limit);
    Arc::new(live)
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

/// The generation that a service would send.
fn generation(reader: &mut Reader, current: &Current) -> Option<u64> {
    reader.glance(current, |_, generation| generation)
}

/// A service that knows the old token, and is called when it may have been
/// replaced.
fn call_again(both: &Both) {
    let mut reader = Reader::default();
    generation(&mut reader, &both.current);
    let replaced = both.replaced.load(Ordering::Acquire);
    if let Some(generation) = generation(&mut reader, &both.current) {
        assert!(!replaced || generation == 2, "an old token");
    }
}

#[test]
fn a_token_that_was_renewed_is_glanced_at_no_more() {
    explore(FOREVER, || Some(live(2, FOREVER)), call_again);
}

#[test]
fn a_token_that_was_rejected_is_glanced_at_no_more() {
    explore(FOREVER, || None, call_again);
}

#[test]
fn no_token_is_sent_with_the_limit_of_another() {
    explore(
        Glance::NEVER,
        || Some(live(2, FOREVER)),
        |both| {
            let mut reader = Reader::default();
            for _ in 0..2 {
                let seen = generation(&mut reader, &both.current);
                assert!(seen.is_none_or(|generation| generation == 2));
            }
        },
    );
}

#[test]
fn a_token_whose_time_is_over_needs_a_closer_look_in_every_thread() {
    loom::model(|| {
        let both = Arc::new(Both {
            current: Current::default(),
            replaced: AtomicBool::new(false),
        });
        let token = live(1, FOREVER);
        both.current.replace(Some(token.clone()));
        let sentry = both.clone();
        thread::spawn(move || {
            token.set_limit(Glance::NEVER);
            sentry.replaced.store(true, Ordering::Release);
        });
        let mut reader = Reader::default();
        generation(&mut reader, &both.current);
        let over = both.replaced.load(Ordering::Acquire);
        assert!(generation(&mut reader, &both.current).is_none() || !over);
    });
}
