//! A rejection of the token in use, concurrent with readers and a renewal, by loom's
//! model. State, hot path and single flight are the cache's own; a fetch is a call
//! in the thread that started it, where the cache has a task.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use loom::thread;

use crate::cache::clock::Moment;
use crate::cache::current::TokenReader;
use crate::cache::explore_loom::{block_on, explore};
use crate::cache::in_flight::FetchResult;
use crate::cache::settings::SharedSettings;
use crate::cache::shared::{FetchEnd, Shared};
use crate::cache::single_flight::{Driver, Joined};
use crate::cache::state::{Begun, Lookup, Rejection, Requirements};
use crate::origins::OriginId;
use crate::sync::model::Arc;
use crate::token::{AccessToken, TokenResponse};

/// There are too many interleavings for all of them.
const BOUND: Option<usize> = Some(3);

const FRESH: Duration = Duration::ZERO;
/// Longer than a token of unknown lifetime stays without renewal.
const DUE: Duration = Duration::from_secs(600);

const ORIGIN: OriginId = OriginId::new(7);

struct Cache {
    shared: Arc<Shared>,
    /// Invisible to loom: it only checks the model.
    fetches: AtomicUsize,
}

type Handle = std::sync::Arc<Cache>;

impl Cache {
    /// Creates a cache with a token of generation 1 in use, which is this old.
    fn new(age: Duration) -> Handle {
        let source = Box::new(AccessToken::new("token").expect("valid"));
        let shared = Shared::new(source, None, "model".into(), SharedSettings::default());
        let cache = std::sync::Arc::new(Self {
            shared: Arc::new(shared),
            fetches: AtomicUsize::new(0),
        });
        let cold = cache.join(Requirements::default(), |_| None::<()>);
        let Joined::Started((begun, driver), _) = cold else {
            panic!("no fetch");
        };
        cache.fetch(begun, driver, age);
        cache.fetches.store(0, Relaxed);
        cache
    }

    /// Joins as the cache does.
    fn join<R>(
        &self,
        needs: Requirements,
        settled: impl FnOnce(Lookup) -> Option<R>,
    ) -> Joined<FetchEnd, R, Arc<Shared>, (Begun, Driver<FetchEnd, Arc<Shared>>)> {
        let mut begun = Begun::default();
        let joined = self.shared.flight.join(
            || self.shared.clone(),
            || false,
            || {
                self.shared.with_state(|state, now| {
                    let settled = settled(state.lookup(needs, now));
                    if settled.is_none() {
                        begun = state.begin_fetch(needs, now, Duration::from_secs(600));
                    }
                    settled
                })
            },
        );
        joined.map_driver(|driver| (begun, driver))
    }

    fn fetch(&self, begun: Begun, driver: Driver<FetchEnd, Arc<Shared>>, age: Duration) {
        self.fetches.fetch_add(1, Relaxed);
        let shared = &self.shared;
        let requested_at = shared.with_state(|_, now: &Moment| *now);
        let token = AccessToken::new("token").expect("valid");
        let mut fetched = FetchResult::new(Ok(TokenResponse::from(token)), requested_at);
        fetched.age = age;
        let outcome = shared
            .with_state(|state, now| state.record(begun.id, fetched, now, &shared.settings, 0.0));
        driver.complete(outcome.expect("in progress").into());
    }

    /// Returns the generation that a caller gets who needs one above this.
    fn newer_than(&self, newer_than: u64) -> u64 {
        let needs = Requirements {
            newer_than,
            ..Requirements::default()
        };
        loop {
            let joined = self.join(needs, |lookup| match lookup {
                Lookup::Serve { live, .. } => Some(live.generation()),
                Lookup::Fail(error) => panic!("{error}"),
                Lookup::Fetch => None,
            });
            match joined {
                Joined::Settled(generation) => return generation,
                Joined::Waiting(mut waiter) => {
                    block_on(poll_fn(|cx| waiter.poll(cx, None)));
                }
                Joined::Started((begun, driver), _) => self.fetch(begun, driver, FRESH),
            }
        }
    }

    /// Starts a renewal, if needed.
    fn renew(&self) {
        let joined = self.join(Requirements::default(), |lookup| match lookup {
            Lookup::Serve { renew: true, .. } => None,
            _ => Some(()),
        });
        if let Joined::Started((begun, driver), _) = joined {
            self.fetch(begun, driver, FRESH);
        }
    }

    /// A caller whose request with this generation was rejected.
    fn meet_rejection(&self, generation: u64) {
        let rejection = self.shared.rejected(generation, ORIGIN, false);
        assert_eq!(rejection, Rejection::Renew);
        assert!(self.newer_than(generation) > generation);
    }

    /// Returns the generation that a request is sent with.
    fn send(&self, reader: &mut TokenReader) -> u64 {
        let fast = reader.try_fast(&self.shared.current, |_, carried| carried.generation);
        fast.unwrap_or_else(|| self.newer_than(0))
    }

    /// A service that is called from time to time.
    fn read(&self) {
        let mut reader = TokenReader::default();
        let mut seen = 0;
        for _ in 0..2 {
            let generation = self.send(&mut reader);
            assert!(generation >= seen, "{generation} after {seen}");
            seen = generation;
        }
    }

    fn spawn(self: &Handle, run: impl FnOnce(&Self) + 'static) {
        let cache = self.clone();
        thread::spawn(move || run(&cache));
    }
}

impl Drop for Cache {
    /// Checks that in the end there is one newer token, from one fetch.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.fetches.load(Relaxed), 1, "fetches");
            assert_eq!(self.send(&mut TokenReader::default()), 2);
        }
    }
}

#[test]
fn a_generation_that_many_reject_leads_to_one_newer_one() {
    explore(BOUND, || {
        let cache = Cache::new(FRESH);
        cache.spawn(|cache| cache.meet_rejection(1));
        cache.spawn(|cache| cache.meet_rejection(1));
        cache.read();
    });
}

#[test]
fn a_rejection_beside_a_renewal_leads_to_one_newer_token() {
    explore(BOUND, || {
        let cache = Cache::new(DUE);
        cache.spawn(|cache| cache.meet_rejection(1));
        cache.spawn(Cache::renew);
        cache.read();
    });
}

#[test]
fn a_caller_with_a_newer_token_never_gets_the_suspected_one() {
    explore(BOUND, || {
        let cache = Cache::new(FRESH);
        cache.spawn(|cache| cache.meet_rejection(1));
        let mut reader = TokenReader::default();
        cache.send(&mut reader);
        let renewed = cache.newer_than(1);
        assert!(cache.send(&mut reader) >= renewed);
        assert!(cache.send(&mut TokenReader::default()) >= renewed);
    });
}
