//! Who is told when something changes.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Msg, RedisResult};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::target::Target;

/// Between attempts to subscribe: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A subscription that is silent for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(15);
/// Accounts kept before those that nobody watches are looked for.
const PRUNE_FROM: usize = 64;

/// The subscription of a store, and whom it tells. Its task ends with it.
pub(super) struct Changes {
    target: Target,
    channel: String,
    response_timeout: Duration,
    watched: Arc<Watched>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Changes {
    /// `response_timeout`: for a connection, and for each answer.
    pub(super) fn new(target: Target, channel: String, response_timeout: Duration) -> Self {
        Self {
            target,
            channel,
            response_timeout,
            watched: Arc::default(),
            task: Mutex::default(),
        }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) fn watch(&self, account: &str) -> watch::Receiver<()> {
        let receiver = self.watched.watch(account);
        self.listen();
        receiver
    }

    pub(super) fn notify(&self, account: &str) {
        self.watched.notify(account.as_bytes());
    }

    /// Listens, if somebody watches: in this runtime, where the one that
    /// listened before has ended.
    pub(super) fn listen(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) || self.watched.is_empty() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            *task = Some(runtime.spawn(listen(
                self.target.clone(),
                self.channel.clone(),
                self.response_timeout,
                Arc::downgrade(&self.watched),
            )));
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

#[derive(Default)]
struct Watched {
    accounts: Mutex<(HashMap<String, watch::Sender<()>>, usize)>,
}

impl Watched {
    fn with<R>(
        &self,
        f: impl FnOnce(&mut HashMap<String, watch::Sender<()>>, &mut usize) -> R,
    ) -> R {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let (accounts, prune_at) = &mut *accounts;
        f(accounts, prune_at)
    }

    fn is_empty(&self) -> bool {
        self.with(|accounts, _| accounts.is_empty())
    }

    fn watch(&self, account: &str) -> watch::Receiver<()> {
        self.with(|accounts, prune_at| {
            if let Some(sender) = accounts.get(account) {
                return sender.subscribe();
            }
            if accounts.len() >= *prune_at {
                accounts.retain(|_, sender| sender.receiver_count() > 0);
                *prune_at = PRUNE_FROM.max(2 * accounts.len());
            }
            let (sender, receiver) = watch::channel(());
            accounts.insert(account.to_owned(), sender);
            receiver
        })
    }

    fn notify(&self, account: &[u8]) {
        let account = std::str::from_utf8(account).unwrap_or_default();
        self.with(|accounts, _| {
            if let Some(sender) = accounts.get(account) {
                sender.send_replace(());
            }
        });
    }

    fn notify_all(&self) {
        self.with(|accounts, _| accounts.values().for_each(|sender| sender.send_replace(())));
    }
}

/// Subscribes again and again, for as long as there is somebody to tell.
async fn listen(
    target: Target,
    channel: String,
    response_timeout: Duration,
    watched: Weak<Watched>,
) {
    let (mut pause, mut attempt) = (PAUSE.0, 0);
    while watched.strong_count() > 0 {
        let subscription = subscribe(&target, attempt, &channel);
        attempt += 1;
        if let Ok(Ok((sink, stream))) =
            timeout(target.hops() * response_timeout, subscription).await
        {
            pause = PAUSE.0;
            // What happened in between, nobody told.
            watched.upgrade().inspect(|watched| watched.notify_all());
            follow(sink, stream, response_timeout, &watched).await;
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
    let pubsub_client = target.pubsub_client(attempt).await?;
    let mut subscription = pubsub_client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    Ok(subscription.split())
}

/// Passes on what comes, until the connection is over or silent to a sentinel_builder.
async fn follow(
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    response_timeout: Duration,
    watched: &Weak<Watched>,
) {
    let mut ask_at = Instant::now() + SILENCE;
    loop {
        match timeout_at(ask_at, next(&mut stream)).await {
            Ok(Some(message)) => match watched.upgrade() {
                Some(watched) => watched.notify(message.get_payload_bytes()),
                None => return,
            },
            Ok(None) => return,
            Err(_) => match timeout(response_timeout, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
        ask_at = Instant::now() + SILENCE;
    }
}

async fn next(stream: &mut PubSubStream) -> Option<Msg> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_nobody_watches_do_not_pile_up() {
        let watched = Watched::default();
        let kept: Vec<_> = (0..10)
            .map(|n| watched.watch(&format!("kept {n}")))
            .collect();
        for n in 0..10_000 {
            watched.watch(&format!("gone {n}"));
        }
        watched.with(|accounts, _| {
            assert!(accounts.len() <= 2 * PRUNE_FROM);
            let kept = (0..kept.len()).all(|n| accounts.contains_key(&format!("kept {n}")));
            assert!(kept);
        });
    }
}
