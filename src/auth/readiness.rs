//! Readiness of the inner service, for the service itself and for its requests that
//! have to be sent later.
//!
//! A request that waits for a token gives back the readiness that it was called
//! with, and a replay needs readiness a second time. Each polls its own clone for
//! it. That is not enough if the service has been polled again meanwhile and is not
//! called: tower's `Balance` keeps the services behind it ready, so one of them may
//! hold the only permit of a `ConcurrencyLimit`, or a place in the queue for it,
//! while the request waits behind it for ever. So while requests wait, the service
//! keeps what it has polled in a shared place, and the first of them may take it
//! from there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};

use tower_service::Service;

use crate::sync::lock;

/// The inner service.
#[derive(Debug)]
pub(crate) struct Inner<S> {
    service: S,
    /// Created for the first request that may have to be sent later.
    lending: Option<Arc<Lending<S>>>,
    /// The service that was polled last is in `lending`, where requests may take it.
    is_lent: bool,
}

/// State that a service and its requests share.
#[derive(Debug)]
pub(crate) struct Lending<S> {
    lent: Mutex<Lent<S>>,
    /// Requests that have given their readiness back.
    queued: AtomicU32,
    /// Created for the first request that finds no readiness: each of many requests
    /// may come from a different clone.
    wakers: OnceLock<Arc<Wakers>>,
}

#[derive(Debug)]
struct Lent<S> {
    /// The service that was polled while it is lent, another clone otherwise.
    service: S,
    is_lent: bool,
    is_ready: bool,
}

impl<S> Inner<S> {
    pub(crate) fn new(service: S) -> Self {
        Self {
            service,
            lending: None,
            is_lent: false,
        }
    }

    pub(crate) fn get(&self) -> &S {
        &self.service
    }

    pub(crate) fn into_inner(self) -> S {
        self.service
    }

    /// Returns the service itself. It must not be called while
    /// [`is_lent`](Self::is_lent), nor polled while
    /// [`is_lending`](Self::is_lending).
    #[inline]
    pub(crate) fn ready(&mut self) -> &mut S {
        &mut self.service
    }

    /// Returns whether requests may take over the readiness.
    #[inline]
    pub(crate) fn is_lending(&self) -> bool {
        self.lending.is_some()
    }

    /// Returns whether [`reclaim`](Self::reclaim) must precede a call of the
    /// service.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        self.is_lent
    }

    /// Takes the polled service back. Returns false if a request has taken its
    /// readiness: the call has to wait for its turn.
    #[cold]
    pub(crate) fn reclaim(&mut self) -> bool {
        self.is_lent = false;
        let Some(lending) = &self.lending else {
            return true;
        };
        let mut lent = lock(&lending.lent);
        lent.is_lent = false;
        std::mem::swap(&mut self.service, &mut lent.service);
        std::mem::take(&mut lent.is_ready)
    }
}

impl<S: Clone> Inner<S> {
    /// Gives the readiness back that the service was polled for.
    pub(crate) fn give_back(&mut self) {
        self.service = self.service.clone();
    }

    /// Queues a request that cannot be sent yet.
    pub(crate) fn queue(&mut self) -> Queued<S> {
        let lending = self.lend();
        self.give_back();
        Queued::new(self.service.clone(), lending)
    }

    /// Returns what a request that is sent now needs for a replay.
    #[inline]
    pub(crate) fn standby(&mut self) -> Standby<S> {
        Standby(self.lend())
    }

    #[inline]
    fn lend(&mut self) -> Arc<Lending<S>> {
        match &self.lending {
            Some(lending) => lending.clone(),
            None => self.start_lending(),
        }
    }

    #[cold]
    fn start_lending(&mut self) -> Arc<Lending<S>> {
        let lending = Arc::new(Lending {
            lent: Mutex::new(Lent {
                service: self.service.clone(),
                is_lent: false,
                is_ready: false,
            }),
            queued: AtomicU32::new(0),
            wakers: OnceLock::new(),
        });
        self.lending.insert(lending).clone()
    }

    pub(crate) fn poll_ready<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        let Some(lending) = &self.lending else {
            return self.service.poll_ready(cx);
        };
        if !self.is_lent && lending.queued.load(Ordering::Relaxed) == 0 {
            let polled = self.service.poll_ready(cx);
            // No request waits, and one that starts to wait finds a free place,
            // unless this service is already in the queue.
            if polled.is_ready() || Arc::strong_count(lending) == 1 {
                return polled;
            }
        }
        let mut lent = lock(&lending.lent);
        if !self.is_lent {
            std::mem::swap(&mut self.service, &mut lent.service);
            (self.is_lent, lent.is_lent) = (true, true);
        }
        let polled = lent.poll_ready(lending.wakers(), cx);
        drop(lent);
        if polled.is_ready() {
            // One of them may take it, if it is first.
            lending.wakers().wake_all();
        }
        polled
    }
}

impl<S: Clone> Clone for Inner<S> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}

impl<S> Lending<S> {
    fn wakers(&self) -> &Arc<Wakers> {
        self.wakers.get_or_init(Arc::default)
    }
}

impl<S> Lent<S> {
    /// Polls the service so that everything that may use it is woken.
    fn poll_ready<Req>(
        &mut self,
        wakers: &Arc<Wakers>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        if self.is_ready {
            return Poll::Ready(Ok(()));
        }
        wakers.add(cx.waker());
        let all = Waker::from(wakers.clone());
        let polled = self.service.poll_ready(&mut Context::from_waker(&all));
        self.is_ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }
}

/// A request that has given its readiness back, and how it gets readiness again.
#[derive(Debug)]
pub(crate) struct Queued<S> {
    service: S,
    lending: Arc<Lending<S>>,
}

impl<S> Queued<S> {
    pub(crate) fn new(service: S, lending: Arc<Lending<S>>) -> Self {
        lending.queued.fetch_add(1, Ordering::Relaxed);
        Self { service, lending }
    }

    /// Polls this request's own clone, and the service that the request came from.
    pub(crate) fn poll_ready<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        if let ready @ Poll::Ready(_) = self.service.poll_ready(cx) {
            return ready;
        }
        // Before the check: if the service is lent later, this is woken.
        self.lending.wakers().add(cx.waker());
        let mut lent = lock(&self.lending.lent);
        if !lent.is_lent {
            return Poll::Pending;
        }
        let polled = lent.poll_ready(self.lending.wakers(), cx);
        if polled.is_ready() {
            // The place keeps what this request had in the queue.
            std::mem::swap(&mut self.service, &mut lent.service);
            lent.is_ready = false;
            // Wakes the owner of the service, not this request.
            let _ = lent.poll_ready(self.lending.wakers(), cx);
        }
        polled
    }

    /// Returns the service, which is ready once `poll_ready` has returned ready.
    pub(crate) fn service(&mut self) -> &mut S {
        &mut self.service
    }
}

impl<S> Queued<S> {
    /// Returns what a replay of the request needs that is sent with this.
    pub(crate) fn next(&self) -> Standby<S> {
        Standby(self.lending.clone())
    }
}

/// What a sent request needs to be queued again. It holds no service: most requests
/// are sent once, and a client may be large.
#[derive(Debug)]
pub(crate) struct Standby<S>(Arc<Lending<S>>);

impl<S: Clone> Standby<S> {
    /// Queues before the readiness of the first attempt is given back.
    pub(crate) fn queue(self) -> Queued<S> {
        let service = lock(&self.0.lent).service.clone();
        Queued::new(service, self.0)
    }
}

impl<S> Drop for Queued<S> {
    fn drop(&mut self) {
        self.lending.queued.fetch_sub(1, Ordering::Relaxed);
        // It may have been woken instead of another request.
        if let Some(wakers) = self.lending.wakers.get() {
            wakers.wake_all();
        }
    }
}

/// Wakers of everything that waits for one service to be ready.
#[derive(Debug, Default)]
struct Wakers(Mutex<Vec<Waker>>);

impl Wakers {
    fn add(&self, waker: &Waker) {
        let mut wakers = lock(&self.0);
        if !wakers.iter().any(|it| it.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *lock(&self.0));
        for waker in wakers {
            // A waker that panics must not keep others from being woken.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
