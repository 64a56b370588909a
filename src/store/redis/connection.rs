//! The connection on which the scripts run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::error::Error;
use super::scripts::ScriptCall;
use super::target::{Backend, Target, Timeouts};
use crate::sync::lock;

/// A connection that is made when it is first needed, and replaced after an error.
pub(super) struct Connection {
    target: Target,
    timeouts: Timeouts,
    /// The longest that a call may take, in case the backend ignores its timeouts.
    call_timeout: Duration,
    current: Mutex<Arc<OnceCell<Backend>>>,
}

impl Connection {
    pub(super) fn new(target: Target, timeouts: Timeouts) -> Self {
        let call_timeout = target.hops() * timeouts.connect + 2 * timeouts.response;
        Self {
            target,
            timeouts,
            call_timeout,
            current: Mutex::default(),
        }
    }

    /// Runs a script, at most once.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &ScriptCall) -> Result<T, Error> {
        match self.attempt(call).await {
            // It did not run there. A new connection leads to the right server.
            Err(error) if is_redirected(&error) => self.attempt(call).await,
            result => result,
        }
    }

    async fn attempt<T: FromRedisValue>(&self, call: &ScriptCall) -> Result<T, Error> {
        let current = self.current();
        let result = async {
            let connect = || self.target.connect(self.timeouts);
            match current.get_or_try_init(connect).await?.clone() {
                Backend::Server(mut it) => run(&mut it, call).await,
                Backend::Master(mut it) => run(&mut it, call).await,
                Backend::Cluster(mut it) => run(&mut it, call).await,
            }
        };
        let error = match timeout(self.call_timeout, result).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.is_timeout() => Error::Timeout,
            Ok(Err(error)) => Error::Redis(error),
            Err(_) => Error::Timeout,
        };
        // Some errors leave the connection usable; telling them apart is not worth
        // the effort.
        self.discard(&current);
        Err(error)
    }

    /// Returns the current connection, or one that connects when it is used.
    fn current(&self) -> Arc<OnceCell<Backend>> {
        Arc::clone(&lock(&self.current))
    }

    fn discard(&self, failed: &Arc<OnceCell<Backend>>) {
        let mut current = lock(&self.current);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::default();
        }
    }
}

async fn run<T: FromRedisValue>(
    connection: &mut impl ConnectionLike,
    call: &ScriptCall,
) -> Result<T, RedisError> {
    let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
    match call.by_hash().query_async(connection).await {
        Err(error) if error.kind() == no_script => call.by_text().query_async(connection).await,
        result => result,
    }
}

/// Whether the connection was lost, so that the script may never have reached the
/// server.
pub(super) fn lost_connection(error: &Error) -> bool {
    matches!(error, Error::Redis(error) if error.is_connection_dropped())
}

/// Whether the server did not run the script because another server has to: a slot
/// that moved, or a former master that is now a replica.
fn is_redirected(error: &Error) -> bool {
    let kinds = [ServerErrorKind::Moved, ServerErrorKind::ReadOnly];
    matches!(error, Error::Redis(error) if kinds.map(ErrorKind::Server).contains(&error.kind()))
}
