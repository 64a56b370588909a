//! A token, its copies stored with the keys of accounts, and its withdrawal, by
//! loom's model. The version is the cache's own; the state and the entry are two
//! locks, like those of the cache and of the accounts.

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::cache::version::Version;
use crate::sync::model::{Arc, Mutex, lock};

struct State {
    generation: u64,
    is_copied: bool,
}

struct Copy {
    generation: u64,
    version: u32,
}

struct Both {
    version: Version,
    state: Mutex<State>,
    entry: Mutex<Option<Copy>>,
    /// Whether the withdrawal was reported.
    told: AtomicBool,
}

impl Both {
    fn new() -> Arc<Self> {
        let state = State {
            generation: 1,
            is_copied: false,
        };
        Arc::new(Self {
            version: Version::new(),
            state: Mutex::new(state),
            entry: Mutex::new(None),
            told: AtomicBool::new(false),
        })
    }

    fn is_valid(&self, copy: &Copy) -> bool {
        self.version.current() == copy.version
    }

    /// As `Shared::hot_token` and `AccountLru::set_hot`.
    fn keep(&self) {
        let mut state = lock(&self.state);
        state.is_copied = true;
        let copy = Copy {
            generation: state.generation,
            version: self.version.current(),
        };
        drop(state);
        let mut entry = lock(&self.entry);
        if self.is_valid(&copy) {
            *entry = Some(copy);
        }
    }

    /// As `AccountLru::hot`.
    fn hot(&self) -> Option<u64> {
        let mut entry = lock(&self.entry);
        drop(entry.take_if(|copy| !self.is_valid(copy)));
        entry.as_ref().map(|copy| copy.generation)
    }

    /// As `Shared::with_state` and `AccountLru::end_hot`.
    fn give_up(&self) {
        let mut state = lock(&self.state);
        state.generation += 1;
        let ended = std::mem::take(&mut state.is_copied);
        if ended {
            self.version.change();
        }
        drop(state);
        if ended {
            let mut entry = lock(&self.entry);
            drop(entry.take_if(|copy| !self.is_valid(copy)));
        }
        self.told.store(true, Ordering::Release);
    }
}

/// Sends a request that begins when the token may have been withdrawn.
fn send(both: &Both) {
    let told = both.told.load(Ordering::Acquire);
    if let Some(generation) = both.hot() {
        assert!(!told || generation == 2, "a token that was given up");
    }
}

#[test]
fn a_copy_of_a_token_that_was_given_up_is_sent_no_more() {
    loom::model(|| {
        let both = Both::new();
        let other = both.clone();
        let copier = thread::spawn(move || {
            other.keep();
            send(&other);
        });
        let other = both.clone();
        let owner = thread::spawn(move || other.give_up());
        send(&both);
        copier.join().expect("no panic");
        owner.join().expect("no panic");
        send(&both);
    });
}

#[test]
fn a_copy_of_a_token_that_was_given_up_is_kept_no_more() {
    loom::model(|| {
        let both = Both::new();
        both.keep();
        let other = both.clone();
        let copier = thread::spawn(move || other.keep());
        let other = both.clone();
        let owner = thread::spawn(move || {
            other.give_up();
            let entry = lock(&other.entry);
            let kept = entry.as_ref().is_none_or(|copy| copy.generation == 2);
            assert!(kept, "a token that was given up");
        });
        copier.join().expect("no panic");
        owner.join().expect("no panic");
        let entry = lock(&both.entry);
        assert!(entry.as_ref().is_none_or(|copy| copy.generation == 2));
    });
}

/// The version belongs to more than one cache: a change by another one ends copies,
/// and does nothing else.
#[test]
fn a_change_of_another_cache_costs_a_copy_and_no_more() {
    loom::model(|| {
        let both = Both::new();
        let other = both.clone();
        let another = thread::spawn(move || other.version.change());
        both.keep();
        another.join().expect("no panic");
        both.keep();
        assert_eq!(both.hot(), Some(1));
        both.give_up();
        assert_eq!(both.hot(), None);
    });
}
