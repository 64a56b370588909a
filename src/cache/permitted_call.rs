//! A call of a token source, made with a permit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use crate::cache::permits::{Permit, Permits, SLOW_AFTER};
use crate::sync::lock;

/// Where a call keeps its permit, so that what it awaits can return it.
type Slot = Arc<Mutex<Option<Permit>>>;

tokio::task_local! {
    static CURRENT: Slot;
}

/// Returns the permit of the current call, if it has one, because the call waits for
/// something other than its own endpoint. It gets another before it resumes.
pub(crate) fn release() {
    let _ = CURRENT.try_with(|slot| {
        let permit = lock(slot).take();
        drop(permit);
    });
}

/// Waits for something other than the endpoint of the current call.
pub(crate) async fn released<F: Future>(wait: F) -> F::Output {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        let polled = wait.as_mut().poll(cx);
        if polled.is_pending() {
            release();
        }
        polled
    })
    .await
}

/// Makes a call with a permit. `wait` waits for one, however long that takes.
pub(crate) async fn with_permit<F, W>(
    permits: &Arc<Permits>,
    group: u64,
    wait: impl Fn(WaitForPermit) -> W,
    call: F,
) -> F::Output
where
    F: Future,
    W: Future<Output = Option<Granted>>,
{
    let slot = Slot::default();
    let mut call = pin!(CURRENT.scope(slot.clone(), call));
    let mut goes_on = false;
    loop {
        let permit = match permits.acquire(group, goes_on) {
            Ok(permit) => permit,
            Err(granted) => match wait(WaitForPermit(granted)).await {
                Some(Granted(permit)) => permit,
                None => permits.closed_permit(group),
            },
        };
        let slow_at = permit.since + SLOW_AFTER + Duration::from_millis(1);
        *lock(&slot) = Some(permit);
        goes_on = true;
        let mut timer = pin!(sleep_until(slow_at));
        let mut is_timed = true;
        let done = poll_fn(|cx| {
            // It returned its permit, and was woken.
            if lock(&slot).is_none() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(done) = call.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if is_timed && timer.as_mut().poll(cx).is_ready() {
                is_timed = false;
                if let Some(permit) = &mut *lock(&slot) {
                    permit.mark_slow();
                }
            }
            Poll::Pending
        })
        .await;
        if let Some(done) = done {
            if let Some(permit) = lock(&slot).take() {
                permit.finish();
            }
            return done;
        }
    }
}

/// A permit that is still to come.
pub(crate) struct WaitForPermit(oneshot::Receiver<Permit>);

/// A permit that arrived.
pub(crate) struct Granted(Permit);

impl Future for WaitForPermit {
    /// `None` if the permits were closed.
    type Output = Option<Granted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Granted>> {
        let granted = Pin::new(&mut self.0).poll(cx);
        granted.map(|granted| granted.ok().map(Granted))
    }
}
