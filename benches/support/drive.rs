//! Sends requests through a stack and measures the time.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::{Barrier, OnceLock};
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;
use core_affinity::CoreId;
use http::Request;
use http_body_util::Empty;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use super::park::{block_on, waker};
use super::stack::request;

/// The runtime that threads are in while they send, for stacks that need one.
static WITHIN: OnceLock<Handle> = OnceLock::new();

pub(crate) fn run_within(runtime: Handle) {
    WITHIN.set(runtime).expect("one runtime");
}

/// The owner of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// This many threads, each with a clone that it keeps.
    Kept(usize),
    /// This many threads, each request with its own clone.
    Cloned(usize),
}

impl Pattern {
    fn threads(self) -> usize {
        match self {
            Self::Kept(threads) | Self::Cloned(threads) => threads,
        }
    }
}

/// A stack of any type.
pub(crate) trait Stack: Send + Sync {
    /// Nanoseconds for each request of a thread, as a mean over the threads.
    fn time(&self, pattern: Pattern, requests: usize) -> f64 {
        let spans = self.spans(pattern, requests);
        let nanos = spans
            .iter()
            .map(|(from, to)| (*to - *from).as_nanos() as f64);
        nanos.sum::<f64>() / (requests * spans.len()) as f64
    }
    /// Requests a second, of all threads together.
    fn rate(&self, pattern: Pattern, requests: usize) -> f64 {
        let spans = self.spans(pattern, requests);
        let from = spans.iter().map(|(from, _)| *from).min().expect("a thread");
        let to = spans.iter().map(|(_, to)| *to).max().expect("a thread");
        (requests * spans.len()) as f64 / (to - from).as_secs_f64()
    }
    /// Returns when each thread began and ended sending this many requests.
    fn spans(&self, pattern: Pattern, requests: usize) -> Vec<(Instant, Instant)>;
    /// Sends this many requests from this thread.
    fn run(&self, requests: usize);
    /// Sends one request; whether it came through.
    fn send(&self) -> Pin<Box<dyn Future<Output = bool> + Send>>;
}

/// A service and the body of its requests.
pub(crate) struct Driven<S, B> {
    service: S,
    body: B,
}

/// A stack for requests with this body.
pub(crate) fn stack<S, B>(service: S, body: B) -> Box<dyn Stack>
where
    S: Service<Request<B>, Response = http::Response<Empty<Bytes>>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Clone + Send + Sync + 'static,
{
    Box::new(Driven { service, body })
}

impl<S, B> Stack for Driven<S, B>
where
    S: Service<Request<B>, Response = http::Response<Empty<Bytes>>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Clone + Send + Sync + 'static,
{
    fn spans(&self, pattern: Pattern, requests: usize) -> Vec<(Instant, Instant)> {
        let threads = pattern.threads();
        let start = Barrier::new(threads);
        let timed = &|pin_to: Option<CoreId>| {
            if let Some(core) = pin_to {
                core_affinity::set_for_current(core);
            }
            let _within = WITHIN.get().map(Handle::enter);
            let waker = waker();
            let cx = &mut Context::from_waker(&waker);
            let mut kept = self.service.clone();
            let mut send = |requests| match pattern {
                Pattern::Kept(_) => {
                    (0..requests).for_each(|_| once(&mut kept, &self.body, cx));
                }
                Pattern::Cloned(_) => {
                    (0..requests).for_each(|_| once(&mut self.service.clone(), &self.body, cx));
                }
            };
            send((requests / 20).clamp(10, 1000));
            start.wait();
            let from = Instant::now();
            (0..DEPTHS).for_each(|depth| at_depth(depth, &mut || send(requests / DEPTHS)));
            (from, Instant::now())
        };
        std::thread::scope(|scope| {
            let cores = cores(threads);
            let threads: Vec<_> = (0..threads)
                .map(|at| {
                    let core = cores.get(at).copied();
                    scope.spawn(move || timed(core))
                })
                .collect();
            let spans = threads.into_iter().map(|thread| thread.join());
            spans.map(|span| span.expect("no panic")).collect()
        })
    }

    fn run(&self, requests: usize) {
        let waker = waker();
        let cx = &mut Context::from_waker(&waker);
        let mut service = self.service.clone();
        (0..requests).for_each(|_| once(&mut service, &self.body, cx));
    }

    fn send(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        let answer = self.service.clone().oneshot(request(self.body.clone()));
        Box::pin(async move {
            answer
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
    }
}

/// A core for each thread, if there are as many: a thread that is moved to another
/// one takes its caches along, and two that share one take turns.
fn cores(threads: usize) -> Vec<CoreId> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    match cores.len() >= threads {
        true => cores,
        false => Vec::new(),
    }
}

/// At how many depths of the stack the requests of a round are sent.
///
/// The position of a request on the stack decides whether copying it stalls, and the
/// same code was seen to take 1 ns or 70 ns more for it. That position is an
/// accident of the frames above it, so each round goes through many positions.
const DEPTHS: usize = 64;

fn at_depth(depth: usize, run: &mut dyn FnMut()) {
    // A step that meets every offset within a page, in lines of 64 bytes.
    let pad = [0_u8; 64 * 13];
    black_box(&pad);
    match depth {
        0 => run(),
        _ => at_depth(depth - 1, run),
    }
    black_box(&pad);
}

/// One request from its making to its answer.
#[inline(never)]
fn once<S, B>(service: &mut S, body: &B, cx: &mut Context<'_>)
where
    S: Service<Request<B>>,
    B: Clone,
{
    let ready = pin!(std::future::poll_fn(|cx| service.poll_ready(cx)));
    assert!(block_on(ready, cx).is_ok(), "a service that is ready");
    let answer = pin!(service.call(request(body.clone())));
    let arrived = block_on(answer, cx).is_ok();
    assert!(black_box(arrived), "an answer");
}
