//! Runs futures on a plain thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Returns a waker for this thread. Created once for many futures, so that it is not
/// measured.
pub(crate) fn waker() -> Waker {
    Arc::new(Unpark(thread::current())).into()
}

/// Polls until it is ready and parks the thread in between. Takes the future
/// where it is: moving it would be measured with it.
#[inline]
pub(crate) fn block_on<F: Future>(mut future: Pin<&mut F>, cx: &mut Context<'_>) -> F::Output {
    loop {
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
