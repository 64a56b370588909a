//! Many tasks that wait for one thing.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Request;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::AccessToken;

use crate::support::alloc;
use crate::support::stack::{Noop, bearer, cache, request, token};

/// What the callers are parked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    /// A cold layer.
    Layer,
    /// `Notify`, with the same request and the same inner service in the task.
    Notify,
}

/// How long a crowd took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waking {
    /// From the event that they waited for until the last one continues.
    pub(crate) wake: Duration,
    /// The same and the time from the first one's start to all being parked.
    pub(crate) all: Duration,
    pub(crate) token_requests: u64,
}

pub(crate) struct Crowd {
    runtime: Handle,
    token: AccessToken,
}

/// The results of the tasks.
struct Tally {
    size: usize,
    parked: AtomicUsize,
    done: AtomicUsize,
    all_parked: mpsc::SyncSender<()>,
    all_done: mpsc::SyncSender<Instant>,
}

impl Crowd {
    pub(crate) fn new(runtime: Handle) -> Self {
        let token = AccessToken::new(token()).expect("a token");
        let token = token.with_lifetime(Duration::from_secs(3000));
        Self { runtime, token }
    }

    /// Parks a crowd, wakes it and waits for its end.
    pub(crate) fn wake(&self, parked: Parked, size: usize) -> Waking {
        self.gather(parked, size, || ()).0
    }

    /// The heap bytes of each parked task.
    pub(crate) fn parked_bytes(&self, parked: Parked, size: usize) -> f64 {
        // What grows once and stays is not the callers'.
        self.gather(parked, size, || ());
        alloc::start();
        let (_, bytes) = self.gather(parked, size, || alloc::stop().live_bytes);
        bytes as f64 / size as f64
    }

    /// `look` is called when all are parked.
    fn gather<R>(&self, parked: Parked, size: usize, look: impl FnOnce() -> R) -> (Waking, R) {
        let (all_parked, wait_parked) = mpsc::sync_channel(1);
        let (all_done, wait_done) = mpsc::sync_channel(1);
        let tally = Arc::new(Tally {
            size,
            parked: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            all_parked,
            all_done,
        });
        let gate = Arc::new(Notify::new());
        let arrived = Arc::new(Mutex::new(None));
        let token_requests = Arc::new(AtomicU64::new(0));
        let from = Instant::now();
        match parked {
            Parked::Layer => {
                let (gate, arrived) = (gate.clone(), arrived.clone());
                let (token, token_requests) = (self.token.clone(), token_requests.clone());
                let tokens = cache(move || {
                    let (gate, arrived, token) = (gate.clone(), arrived.clone(), token.clone());
                    token_requests.fetch_add(1, Relaxed);
                    async move {
                        gate.notified().await;
                        *arrived.lock().expect("no panic") = Some(Instant::now());
                        Ok::<_, std::io::Error>(token)
                    }
                });
                let service = bearer(&tokens).layer(<Noop>::new());
                for _ in 0..size {
                    let mut service = service.clone();
                    self.spawn(&tally, async move {
                        let request = request(());
                        let ready = ServiceExt::<Request<()>>::ready(&mut service).await;
                        ready.expect("ready").call(request).await.is_ok()
                    });
                }
            }
            Parked::Notify => {
                let token = Arc::new(Notify::new());
                {
                    let (gate, arrived, token) = (gate.clone(), arrived.clone(), token.clone());
                    self.runtime.spawn(async move {
                        gate.notified().await;
                        *arrived.lock().expect("no panic") = Some(Instant::now());
                        token.notify_waiters();
                    });
                }
                for _ in 0..size {
                    let mut service = <Noop>::new();
                    let token = token.clone();
                    self.spawn(&tally, async move {
                        let request = request(());
                        let ready = ServiceExt::<Request<()>>::ready(&mut service).await;
                        let service = ready.expect("ready");
                        token.notified().await;
                        service.call(request).await.is_ok()
                    });
                }
            }
        }
        wait_parked.recv().expect("all parked");
        let parked_after = from.elapsed();
        let seen = look();
        gate.notify_one();
        let to = wait_done.recv().expect("all done");
        let arrived = arrived.lock().expect("no panic").expect("it has arrived");
        let wake = to - arrived;
        let waking = Waking {
            wake,
            all: wake + parked_after,
            token_requests: token_requests.load(SeqCst),
        };
        (waking, seen)
    }

    fn spawn(&self, tally: &Arc<Tally>, caller: impl Future<Output = bool> + Send + 'static) {
        self.runtime.spawn(Counted {
            caller,
            tally: tally.clone(),
            parked: false,
        });
    }
}

pin_project! {
    /// A caller that tells when it is parked and when it is done.
    struct Counted<F> {
        #[pin]
        caller: F,
        tally: Arc<Tally>,
        parked: bool,
    }
}

impl<F: Future<Output = bool>> Future for Counted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let tally = this.tally;
        match this.caller.poll(cx) {
            Poll::Ready(sent) => {
                assert!(sent, "every caller goes on");
                if tally.done.fetch_add(1, SeqCst) + 1 == tally.size {
                    let _ = tally.all_done.send(Instant::now());
                }
                Poll::Ready(())
            }
            Poll::Pending => {
                if !std::mem::replace(this.parked, true)
                    && tally.parked.fetch_add(1, SeqCst) + 1 == tally.size
                {
                    let _ = tally.all_parked.send(());
                }
                Poll::Pending
            }
        }
    }
}
