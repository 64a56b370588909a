//! The connection on which the scripts run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::time::timeout;

use super::fault::Fault;
use super::scripts::Step;
use super::tls;

pub(super) struct Link {
    client: Client,
    config: ConnectionManagerConfig,
    /// A bound on a step, should the connection not keep its own.
    longest: Duration,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    /// How many there were before.
    number: u64,
    connection: Option<ConnectionManager>,
}

impl Link {
    pub(super) fn new(client: Client, connect: Duration, response: Duration) -> Self {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(connect))
            .set_response_timeout(Some(response))
            // Whoever calls has its own pauses.
            .set_number_of_retries(0);
        Self {
            client,
            config,
            longest: connect + 2 * response,
            current: Mutex::default(),
        }
    }

    /// Runs a step, once at most.
    pub(super) async fn run<T: FromRedisValue>(&self, step: &Step) -> Result<T, Fault> {
        let (number, mut connection) = self.connection()?;
        let answer = timeout(self.longest, run(&mut connection, step)).await;
        let fault = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if error.is_timeout() => Fault::Timeout,
            Ok(Err(error)) => Fault::Redis(error),
            Err(_) => Fault::Timeout,
        };
        // A connection that is broken, stalled or refused is not used again.
        // Which errors leave it whole is not worth the question.
        self.discard(number);
        Err(fault)
    }

    /// The connection that there is, or one that connects on its first use.
    fn connection(&self) -> Result<(u64, ConnectionManager), RedisError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        tls::prepare(&self.client);
        let (client, config) = (self.client.clone(), self.config.clone());
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    fn discard(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number == number {
            current.connection = None;
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
pub(super) fn was_cut_off(fault: &Fault) -> bool {
    matches!(fault, Fault::Redis(error) if error.is_connection_dropped())
}
