//! The sessions of evicted accounts, which are ended some time later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::accounts::account::Account;
use crate::error::{TokenError, TokenErrorKind};
use crate::sync::lock;
use crate::telemetry::Event;

/// The minimum time that a session stays if it turns out to be in use.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Sessions that wait to be ended, as many as there may be accounts; with more, the
/// oldest are ended early. If that does not help, because the endpoint hangs, the
/// oldest of twice as many are left to expire.
pub(crate) struct Revocations {
    queue: Mutex<VecDeque<(Instant, Arc<Account>)>>,
    permits: Arc<Semaphore>,
    capacity: usize,
    after: Option<Duration>,
}

impl Revocations {
    pub(crate) fn new(permits: Arc<Semaphore>, capacity: usize, after: Option<Duration>) -> Self {
        Self {
            queue: Mutex::default(),
            permits,
            capacity,
            after,
        }
    }

    fn take_over(&self, limit: usize) -> Vec<Arc<Account>> {
        let mut queue = lock(&self.queue);
        let over = queue.len().saturating_sub(limit);
        queue.drain(..over).map(|(_, account)| account).collect()
    }

    /// Takes all that wait.
    pub(crate) fn take_all(&self) -> Vec<Arc<Account>> {
        self.take_over(0)
    }

    /// Takes the next one that is due or exceeds the limit.
    fn next(&self) -> Option<Arc<Account>> {
        let mut queue = lock(&self.queue);
        let now = Instant::now();
        for _ in 0..queue.len() {
            let is_full = queue.len() > self.capacity;
            let (at, account) = queue.pop_front()?;
            if !is_full && at > now {
                queue.push_front((at, account));
                return None;
            }
            if !account.tokens().is_in_use() {
                return Some(account);
            }
            // A caller got a handle at the moment of the eviction.
            let pause = self.after.unwrap_or_default().max(MIN_PAUSE);
            queue.push_back((now + pause, account));
        }
        None
    }
}

impl Revocations {
    /// Queues these sessions, if the settings say so.
    pub(crate) fn push(self: &Arc<Self>, accounts: Vec<Arc<Account>>) {
        let Some(after) = self.after else {
            return;
        };
        let at = Instant::now() + after;
        let mut queue = lock(&self.queue);
        queue.extend(accounts.into_iter().map(|account| (at, account)));
        let is_full = queue.len() > self.capacity;
        drop(queue);
        if is_full {
            self.start();
        }
        for account in self.take_over(self.capacity.saturating_mul(2)) {
            let what = "too many sessions wait for their end";
            let error = TokenError::new(TokenErrorKind::Timeout, what);
            account.tokens().shared.emit(&Event::Revoked {
                error: Some(&error),
            });
        }
    }

    /// Ends the sessions that are due, a limited number at a time. Does nothing
    /// outside a runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        while let Ok(permit) = self.permits.clone().try_acquire_owned()
            && let Some(first) = self.next()
        {
            runtime.spawn(self.clone().run(permit, first));
        }
    }

    async fn run(self: Arc<Self>, permit: OwnedSemaphorePermit, first: Arc<Account>) {
        let mut next = Some(first);
        while let Some(account) = next {
            let _ = account.tokens().end_own_session().await;
            next = self.next();
        }
        drop(permit);
    }
}
