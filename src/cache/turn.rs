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
    current: Mutex<Current>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Current {
    /// The number of the attempt that last took the turn.
    attempt: u64,
    /// Until when it may take, while it is in progress.
    until: Option<Instant>,
}

/// What an attempt gets that asks for its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The turn, with the attempt's number.
    Yes(u64),
    /// Another attempt has it until then.
    No(Instant),
}

impl Turn {
    /// Returns the turn of a user, which all of the user's passwords share.
    pub(crate) fn of_user(user: u64) -> Arc<Self> {
        let mut users = lock(&USERS);
        let known = users.get(&user).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(Self {
                user,
                current: Mutex::default(),
                ended: Notify::new(),
            });
            users.insert(user, Arc::downgrade(&turn));
            turn
        })
    }

    /// Takes the turn for at most `limit`, unless another attempt has it and `waits`
    /// returns that this matters.
    ///
    /// # Errors
    ///
    /// Fails with the error of `waits`.
    pub(crate) fn take<E>(
        &self,
        now: Instant,
        limit: Duration,
        waits: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Taken, E> {
        let mut current = lock(&self.current);
        let waits = waits()?;
        if let Some(until) = current.until.filter(|until| now < *until && waits) {
            return Ok(Taken::No(until));
        }
        current.attempt += 1;
        current.until = Some(now + limit);
        Ok(Taken::Yes(current.attempt))
    }

    /// Resolves when an attempt ends from now on.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Ends an attempt. One that took too long does not end the turn of the next.
    pub(crate) fn end(&self, attempt: u64) {
        let mut current = lock(&self.current);
        if current.attempt == attempt {
            current.until = None;
            self.ended.notify_waiters();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_took_too_long_does_not_end_the_turn_of_the_next() {
        let (turn, limit) = (Turn::default(), Duration::from_secs(11));
        let take = |now| turn.take(now, limit, || Ok::<_, ()>(true));
        let start = Instant::now();
        assert_eq!(take(start), Ok(Taken::Yes(1)));
        assert_eq!(take(start), Ok(Taken::No(start + limit)));
        assert_eq!(take(start + limit), Ok(Taken::Yes(2)));
        turn.end(1);
        assert_eq!(take(start + limit), Ok(Taken::No(start + 2 * limit)));
        turn.end(2);
        assert_eq!(take(start + limit), Ok(Taken::Yes(3)));
    }
}
