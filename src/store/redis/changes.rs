//! The subscription to changes, and the watchers that it notifies.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Msg, RedisResult};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection::note_access;
use super::target::Target;
use crate::patience::patiently;
use crate::store::watchers::Watchers;
use crate::task::BackgroundTask;

/// The first and the longest pause between attempts to subscribe.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a subscription may be silent before it is pinged.
const PING_AFTER: Duration = Duration::from_secs(15);

/// The subscription of a store. Its task ends with it.
pub(super) struct Changes {
    target: Target,
    channel: String,
    timeout: Duration,
    watchers: Arc<Watchers>,
    denied: Arc<AtomicBool>,
    task: BackgroundTask,
}

impl Changes {
    /// Creates the subscription; `timeout` limits each connection and each response.
    pub(super) fn new(
        target: Target,
        channel: String,
        timeout: Duration,
        denied: Arc<AtomicBool>,
    ) -> Self {
        Self {
            target,
            channel,
            timeout,
            watchers: Arc::default(),
            denied,
            task: BackgroundTask::default(),
        }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) fn watch(&self, account: &str) -> watch::Receiver<()> {
        let receiver = self.watchers.watch(account);
        self.ensure_subscribed();
        receiver
    }

    pub(super) fn notify(&self, account: &str) {
        self.watchers.notify(account.as_bytes());
    }

    /// Subscribes if there are watchers, and again in this runtime if the runtime of
    /// the subscription has ended.
    pub(super) fn ensure_subscribed(&self) {
        if self.watchers.is_empty() {
            return;
        }
        self.task.ensure_running(|| {
            let watchers = Arc::downgrade(&self.watchers);
            keep_subscribed(
                self.target.clone(),
                self.channel.clone(),
                self.timeout,
                watchers,
                self.denied.clone(),
            )
        });
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Subscribes, and again after each failure, as long as the store exists.
async fn keep_subscribed(
    target: Target,
    channel: String,
    limit: Duration,
    watchers: Weak<Watchers>,
    denied: Arc<AtomicBool>,
) {
    let (mut pause, mut attempt) = (PAUSE.0, 0);
    while watchers.strong_count() > 0 {
        let subscription = subscribe(&target, attempt, &channel);
        attempt += 1;
        match patiently(target.hops() * limit, subscription).await {
            Some(Ok((sink, stream))) => {
                pause = PAUSE.0;
                // Changes since the last subscription were missed.
                watchers.upgrade().inspect(|watchers| watchers.notify_all());
                forward(sink, stream, limit, &watchers).await;
            }
            Some(Err(error)) => note_access(&denied, &error),
            None => {}
        }
        sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = (2 * pause).min(PAUSE.1);
    }
}

async fn subscribe(
    target: &Target,
    attempt: usize,
    channel: &str,
) -> RedisResult<(PubSubSink, PubSubStream)> {
    let client = target.pubsub_client(attempt).await?;
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    Ok(subscription.split())
}

/// Forwards messages to the watchers until the connection ends or does not answer a
/// ping.
async fn forward(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    limit: Duration,
    watchers: &Weak<Watchers>,
) {
    let mut ping_at = Instant::now() + PING_AFTER;
    loop {
        match timeout_at(ping_at, next(&mut stream)).await {
            Ok(Some(message)) => match watchers.upgrade() {
                Some(watchers) => watchers.notify(message.get_payload_bytes()),
                None => return,
            },
            Ok(None) => return,
            Err(_) => match timeout(limit, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
        ping_at = Instant::now() + PING_AFTER;
    }
}

async fn next(stream: &mut PubSubStream) -> Option<Msg> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
