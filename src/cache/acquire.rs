//! One caller's way to a token.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

use crate::cache::clock::Glance;
use crate::cache::fetch::Step;
use crate::cache::flight::Waiter;
use crate::cache::ledger::{Want, lives_too_short};
use crate::cache::shared::{Outcome, Shared, no_runtime};
use crate::error::{TokenError, TokenErrorKind};
use crate::events::Wait;

/// How often a caller starts over because a flight's runtime ended under it.
const MOST_ABANDONED: u8 = 8;

pin_project! {
    /// Resolves to a token that may be sent now. Dropping it ends the wait and
    /// nothing else.
    pub(crate) struct Acquire {
        shared: Arc<Shared>,
        want: Want,
        waiter: Option<Waiter<Outcome>>,
        #[pin]
        deadline: Option<Sleep>,
        wait: Option<Wait>,
        abandoned: u8,
    }
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, want: Want) -> Self {
        Self::joined(shared, want, None)
    }

    /// The way of a caller who has looked already.
    pub(crate) fn joined(shared: Arc<Shared>, want: Want, waiter: Option<Waiter<Outcome>>) -> Self {
        Self {
            shared,
            want,
            waiter,
            deadline: None,
            wait: None,
            abandoned: 0,
        }
    }

    pub(crate) fn shared(self: Pin<&Self>) -> &Arc<Shared> {
        self.project_ref().shared
    }

    pub(crate) fn want(self: Pin<&Self>) -> Want {
        *self.project_ref().want
    }
}

impl Future for Acquire {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut this = self.project();
        loop {
            let Some(waiter) = this.waiter else {
                match this.shared.look(*this.want) {
                    Step::Serve(live) => return Poll::Ready(Ok(live)),
                    Step::Fail(error) => return Poll::Ready(Err(error)),
                    Step::Wait(waiter) => *this.waiter = Some(waiter),
                }
                continue;
            };
            match Pin::new(waiter).poll(cx) {
                Poll::Ready(landed) => {
                    *this.waiter = None;
                    match landed {
                        Some(Ok(live)) if !this.want.valid_for.is_zero() => {
                            let age = this.shared.settings.clock.now().since(&live.born);
                            let needed = age.saturating_add(this.want.valid_for);
                            let enough = live.plan.expired.is_none_or(|end| needed <= end);
                            return Poll::Ready(enough.then_some(live).ok_or_else(lives_too_short));
                        }
                        Some(Ok(live))
                            if live.generation() > this.want.newer_than
                                && live.suffices(Glance::now()) =>
                        {
                            return Poll::Ready(Ok(live));
                        }
                        // It was a while ago that it landed: look again.
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Poll::Ready(Err(error)),
                        None => {
                            *this.abandoned += 1;
                            if *this.abandoned > MOST_ABANDONED {
                                return Poll::Ready(Err(no_runtime(
                                    "the runtime is shutting down",
                                )));
                            }
                        }
                    }
                }
                Poll::Pending => {
                    if this.deadline.is_none() {
                        if let Err(error) = Handle::try_current() {
                            return Poll::Ready(Err(no_runtime(error)));
                        }
                        let deadline = timed(|| sleep(this.shared.settings.wait))?;
                        this.deadline.set(Some(deadline));
                        *this.wait = Some(Wait::begin(&this.shared.label));
                    }
                    if let Some(deadline) = this.deadline.as_mut().as_pin_mut() {
                        ready!(timed(|| deadline.poll(cx))?);
                    }
                    let what = format!("no token within {:?}", this.shared.settings.wait);
                    return Poll::Ready(Err(TokenError::new(TokenErrorKind::Waited, what)));
                }
            }
        }
    }
}

/// tokio's timers panic in a runtime that has none, or has ended. A waiter gets
/// an error instead.
fn timed<T>(timer: impl FnOnce() -> T) -> Result<T, TokenError> {
    catch_unwind(AssertUnwindSafe(timer))
        .map_err(|_| no_runtime("the runtime has no timer or is shutting down"))
}
