//! The turn to send credentials.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::sync::lock;

/// Turns by the number of a user at an endpoint: those with an attempt in progress,
/// or with one that waits for it.
static USERS: LazyLock<Mutex<HashMap<u64, Weak<Turn>>>> = LazyLock::new(Mutex::default);

/// One attempt at a time.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    user: u64,
    /// Until when the attempt in progress may take.
    until: Mutex<Option<Instant>>,
    ended: Notify,
}

impl Turn {
    /// Returns the turn of a user, which all of the user's passwords share.
    pub(crate) fn of_user(user: u64) -> Arc<Self> {
        let mut users = lock(&USERS);
        let known = users.get(&user).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(Self {
                user,
                until: Mutex::default(),
                ended: Notify::new(),
            });
            users.insert(user, Arc::downgrade(&turn));
            turn
        })
    }

    /// Takes the turn for at most `limit`. If it is taken, and `waits` returns that
    /// this matters, returns until when.
    ///
    /// # Errors
    ///
    /// Fails with the error of `waits`.
    pub(crate) fn take<E>(
        &self,
        now: Instant,
        limit: Duration,
        waits: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Option<Instant>, E> {
        let mut until = lock(&self.until);
        let waits = waits()?;
        let busy = until.filter(|until| now < *until && waits);
        if busy.is_none() {
            *until = Some(now + limit);
        }
        Ok(busy)
    }

    /// Resolves when an attempt ends from now on.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Ends the attempt in progress.
    pub(crate) fn end(&self) {
        *lock(&self.until) = None;
        self.ended.notify_waiters();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.user == 0 {
            return;
        }
        let mut users = lock(&USERS);
        // Another turn may have its place by now.
        if users
            .get(&self.user)
            .is_some_and(|it| it.strong_count() == 0)
        {
            users.remove(&self.user);
        }
    }
}
