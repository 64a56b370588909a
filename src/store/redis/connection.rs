//! The connection on which the scripts run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::error::Fault;
use super::scripts::Step;
use super::target::{Connection, Limits, Target};

pub(super) struct Link {
    target: Target,
    limits: Limits,
    /// A bound on a step, should the connection not keep its own.
    longest: Duration,
    current: Mutex<Arc<OnceCell<Connection>>>,
}

impl Link {
    pub(super) fn new(target: Target, limits: Limits) -> Self {
        let longest = target.hops() * limits.connect + 2 * limits.response;
        Self {
            target,
            limits,
            longest,
            current: Mutex::default(),
        }
    }

    /// Runs a step, once at most.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &Step) -> Result<T, Fault> {
        match self.attempt(step).await {
            // It did not run there. A new connection knows where it will.
            Err(fault) if is_redirected(&fault) => self.attempt(step).await,
            answer => answer,
        }
    }

    async fn attempt<T: FromRedisValue>(&self, step: &Step) -> Result<T, Fault> {
        let current = self.current();
        let answer = async {
            let connect = || self.target.connect(self.limits);
            match current.get_or_try_init(connect).await?.clone() {
                Connection::Server(mut it) => run(&mut it, step).await,
                Connection::Master(mut it) => run(&mut it, step).await,
                Connection::Cluster(mut it) => run(&mut it, step).await,
            }
        };
        let fault = match timeout(self.longest, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_timeout() => Fault::Timeout,
            Ok(Err(error)) => Fault::Redis(error),
            Err(_) => Fault::Timeout,
        };
        // A connection that is broken, stalled or refused is not used again.
        // Which errors leave it whole is not worth the sentinel_builder.
        self.discard(&current);
        Err(fault)
    }

    /// The connection that there is, or one that connects on its first use.
    fn current(&self) -> Arc<OnceCell<Connection>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn discard(&self, failed: &Arc<OnceCell<Connection>>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::default();
        }
    }
}

async fn run<T: FromRedisValue>(
    connection: &mut impl ConnectionLike,
    step: &Step,
) -> Result<T, RedisError> {
    let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
    match step.by_hash().query_async(connection).await {
        Err(error) if error.kind() == no_script => step.by_text().query_async(connection).await,
        answer => answer,
    }
}

/// Whether a step that failed so may never have reached the server.
pub(super) fn lost_connection(fault: &Fault) -> bool {
    matches!(fault, Fault::Redis(error) if error.is_connection_dropped())
}

/// Whether the server left a step to another one: a slot that moved, or a master
/// that is none any more.
fn is_redirected(fault: &Fault) -> bool {
    let kinds = [ServerErrorKind::Moved, ServerErrorKind::ReadOnly];
    matches!(fault, Fault::Redis(error) if kinds.map(ErrorKind::Server).contains(&error.kind()))
}
