//! How loom's models are run: every interleaving, and futures without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

/// Runs every interleaving of a model, or those with at most `bound` preemptions;
/// `LOOM_MAX_PREEMPTIONS` overrides that.
pub(super) fn explore(bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(bound);
    let bound = builder.preemption_bound;
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    println!("{count:?} interleavings, preemptions: {bound:?}");
}

/// Unparks a thread. Leaner than loom's own `block_on`, whose reference counts
/// and spurious wake-ups are interleavings too.
struct Parked {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: std::sync::Arc<Self>) {
        self.woken.store(true, Relaxed);
        self.thread.unpark();
    }
}

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let parked = std::sync::Arc::new(Parked {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(parked.clone());
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            // Loom also wakes a thread when a lock is released that it took last.
            // The waker would then come late, while the thread waits for another
            // lock, which loom does not support.
            Poll::Pending => {
                while !parked.woken.swap(false, Relaxed) {
                    thread::park();
                }
            }
        }
    }
}
