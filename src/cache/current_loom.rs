//! The hot path and a renewal, by loom's model.

use std::time::Duration;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::cache::clock::{Clock, CoarseTime};
use crate::cache::current::{CachedToken, CurrentToken, TokenReader};
use crate::cache::schedule::Schedule;
use crate::sync::model::Arc;
use crate::telemetry::FetchedBy;
use crate::token::AccessToken;

/// Whether the coarse clock alone shows that a token may be sent.
#[derive(Clone, Copy)]
enum Window {
    Open,
    Closed,
}

impl Window {
    fn start(self) -> CoarseTime {
        match self {
            Self::Open => CoarseTime::now(),
            Self::Closed => CoarseTime::NEVER,
        }
    }
}

fn live(generation: u64, window: Window) -> Arc<CachedToken> {
    let token = AccessToken::new("token").expect("valid");
    let schedule = Schedule {
        due: Duration::MAX,
        expired: None,
    };
    let requested_at = Clock::default().now();
    let token = token.cached(generation, requested_at.wall, Duration::ZERO);
    let live = CachedToken::new(
        token,
        0,
        requested_at,
        schedule,
        FetchedBy::Credentials,
        None,
    );
    live.set_fast_from(window.start());
    Arc::new(live)
}

/// State that a renewal and its reader share.
struct Both {
    current: CurrentToken,
    replaced: AtomicBool,
}

/// Runs `read` while the token of generation 1 is replaced by `next`.
fn explore(
    old: Window,
    next: fn() -> Option<Arc<CachedToken>>,
    read: impl Fn(&Both) + Copy + Send + Sync + 'static,
) {
    loom::model(move || {
        let both = Arc::new(Both {
            current: CurrentToken::default(),
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

/// Returns the generation that a service would send.
fn generation(reader: &mut TokenReader, current: &CurrentToken) -> Option<u64> {
    reader.try_fast(current, |_, carried| carried.generation)
}

/// A service that knows the old token, and is called when it may have been replaced.
fn call_again(both: &Both) {
    let mut reader = TokenReader::default();
    generation(&mut reader, &both.current);
    let replaced = both.replaced.load(Ordering::Acquire);
    if let Some(generation) = generation(&mut reader, &both.current) {
        assert!(!replaced || generation == 2, "an old token");
    }
}

#[test]
fn a_token_that_was_renewed_is_sent_no_more() {
    explore(Window::Open, || Some(live(2, Window::Open)), call_again);
}

#[test]
fn a_token_that_was_given_up_is_sent_no_more() {
    explore(Window::Open, || None, call_again);
}

#[test]
fn no_token_is_sent_in_the_window_of_another() {
    explore(
        Window::Closed,
        || Some(live(2, Window::Open)),
        |both| {
            let mut reader = TokenReader::default();
            for _ in 0..2 {
                let seen = generation(&mut reader, &both.current);
                assert!(seen.is_none_or(|generation| generation == 2));
            }
        },
    );
}

#[test]
fn a_token_whose_window_is_closed_needs_a_lookup_in_every_thread() {
    loom::model(|| {
        let both = Arc::new(Both {
            current: CurrentToken::default(),
            replaced: AtomicBool::new(false),
        });
        let token = live(1, Window::Open);
        both.current.replace(Some(token.clone()));
        let closer = both.clone();
        thread::spawn(move || {
            token.set_fast_from(CoarseTime::NEVER);
            closer.replaced.store(true, Ordering::Release);
        });
        let mut reader = TokenReader::default();
        generation(&mut reader, &both.current);
        let over = both.replaced.load(Ordering::Acquire);
        assert!(generation(&mut reader, &both.current).is_none() || !over);
    });
}
