//! The connection on which the scripts run.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value, cmd};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::error::Error;
use super::scripts::ScriptCall;
use super::target::{Backend, Target, Timeouts};
use crate::patience::patiently;
use crate::sync::lock;
use crate::task::BackgroundTask;

/// How long the connection may be idle before it is pinged: less than proxies and
/// firewalls take to drop it silently.
const PING_AFTER: Duration = Duration::from_secs(5);
/// After this time a ping was missed, because the process or its runtime stood
/// still, and the connection is tested before it is used.
const TRY_AFTER: Duration = Duration::from_secs(8);

/// A connection that is opened when first needed, kept alive while idle, and
/// replaced after an error.
pub(super) struct Connection {
    inner: Arc<Inner>,
    pings: BackgroundTask,
}

struct Inner {
    target: Target,
    timeouts: Timeouts,
    current: Mutex<Arc<Current>>,
    /// Whether the server refuses the user or the password.
    denied: Arc<AtomicBool>,
}

/// One connection, once it is open.
#[derive(Default)]
struct Current {
    backend: OnceCell<Backend>,
    /// When it was last known to work, and how long a response took then.
    used: Mutex<Option<(Instant, Duration)>>,
    /// A bit for each script that the server has run on it.
    known: AtomicU8,
}

impl Connection {
    pub(super) fn new(target: Target, timeouts: Timeouts, denied: Arc<AtomicBool>) -> Self {
        Self {
            inner: Arc::new(Inner {
                target,
                timeouts,
                current: Mutex::default(),
                denied,
            }),
            pings: BackgroundTask::default(),
        }
    }

    /// Runs a script, at most once.
    pub(super) async fn run<T: FromRedisValue>(&self, call: &ScriptCall) -> Result<T, Error> {
        let inner = Arc::downgrade(&self.inner);
        self.pings.ensure_running(|| keep_alive(inner));
        self.inner.replace_if_dead().await;
        match self.inner.attempt(call).await {
            // The script did not run there. A new connection leads to the right
            // server.
            Err(error) if is_redirected(&error) => self.inner.attempt(call).await,
            result => result,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pings.abort();
    }
}

impl Inner {
    async fn attempt<T: FromRedisValue>(&self, call: &ScriptCall) -> Result<T, Error> {
        let current = self.current();
        let result = async {
            let mut backend = self.connect(&current).await?;
            let start = Instant::now();
            let limit = 2 * self.timeouts.response;
            let answer = patiently(limit, run(&mut backend, call, &current.known));
            let answer = answer.await.ok_or(Error::Timeout)??;
            current.note_use(start);
            Ok(answer)
        };
        let result = result.await;
        match &result {
            Ok(_) => self.denied.store(false, Ordering::Relaxed),
            // Some errors leave the connection usable; telling them apart is not worth
            // the effort.
            Err(error) => self.discard(&current, error),
        }
        result
    }

    /// Returns the connection, opening it if needed.
    async fn connect(&self, current: &Current) -> Result<Backend, Error> {
        let connect = || async {
            let limit = self.target.hops() * self.timeouts.connect;
            let start = Instant::now();
            let connection = patiently(limit, self.target.connect(self.timeouts));
            let connection = connection.await.ok_or(Error::Timeout)??;
            current.note_use(start);
            Ok::<_, Error>(connection)
        };
        current.backend.get_or_try_init(connect).await.cloned()
    }

    /// Pings a connection that was idle for a while, and replaces it if there is no
    /// answer: it may have been cut silently.
    async fn replace_if_dead(&self) {
        let current = self.current();
        if current.idle().is_some_and(|idle| idle >= TRY_AFTER) {
            self.ping(&current).await;
        }
    }

    /// Sends a ping, and waits a few times as long as a response took before.
    async fn ping(&self, current: &Arc<Current>) {
        let (Some(backend), Some((_, took))) = (current.backend.get(), *lock(&current.used)) else {
            return;
        };
        let limit = (4 * took).clamp(Duration::from_millis(50), self.timeouts.response);
        let (start, mut backend) = (Instant::now(), backend.clone());
        match patiently(limit, query::<Value>(&mut backend, &cmd("PING"))).await {
            Some(Ok(_)) => current.note_use(start),
            Some(Err(error)) => self.discard(current, &error.into()),
            None => self.discard(current, &Error::Timeout),
        }
    }

    /// Returns the current connection, or one that connects when it is used.
    fn current(&self) -> Arc<Current> {
        Arc::clone(&lock(&self.current))
    }

    fn discard(&self, failed: &Arc<Current>, error: &Error) {
        if let Error::Redis(error) = error {
            note_access(&self.denied, error);
        }
        let mut current = lock(&self.current);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::default();
        }
    }
}

impl Current {
    fn note_use(&self, start: Instant) {
        let now = Instant::now();
        *lock(&self.used) = Some((now, now.saturating_duration_since(start)));
    }

    /// Returns how long it has been idle, once it was used.
    fn idle(&self) -> Option<Duration> {
        lock(&self.used).map(|(at, _)| at.elapsed())
    }
}

/// Pings the connection while it is idle, and opens the next one when it is gone,
/// before it is needed. The times differ between processes, so that a fleet that
/// loses its server does not reconnect all at once.
async fn keep_alive(inner: Weak<Inner>) {
    loop {
        sleep(PING_AFTER.mul_f64(0.6 + 0.4 * fastrand::f64())).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let current = inner.current();
        if current.idle().is_some_and(|idle| idle >= PING_AFTER / 2) {
            inner.ping(&current).await;
        }
        let current = inner.current();
        if current.backend.get().is_none()
            && let Err(error) = inner.connect(&current).await
        {
            inner.discard(&current, &error);
        }
    }
}

async fn run<T: FromRedisValue>(
    backend: &mut Backend,
    call: &ScriptCall,
    known: &AtomicU8,
) -> Result<T, RedisError> {
    let (bit, no_script) = (
        1 << call.kind as u8,
        ErrorKind::Server(ServerErrorKind::NoScript),
    );
    // If a response takes long, asking whether the script is known costs as much as
    // sending it.
    if known.load(Ordering::Relaxed) & bit == 0 {
        let result = query(backend, &call.by_text()).await;
        if result.is_ok() {
            known.fetch_or(bit, Ordering::Relaxed);
        }
        return result;
    }
    match query(backend, &call.by_hash()).await {
        Err(error) if error.kind() == no_script => query(backend, &call.by_text()).await,
        result => result,
    }
}

async fn query<T: FromRedisValue>(
    backend: &mut Backend,
    command: &redis::Cmd,
) -> Result<T, RedisError> {
    async fn on<T: FromRedisValue>(
        connection: &mut impl ConnectionLike,
        command: &redis::Cmd,
    ) -> Result<T, RedisError> {
        command.query_async(connection).await
    }
    match backend {
        Backend::Server(connection) => on(connection, command).await,
        Backend::Cluster(connection) => on(connection, command).await,
    }
}

/// Records whether the server refuses the user or the password.
pub(super) fn note_access(denied: &AtomicBool, error: &RedisError) {
    let by_code = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    if by_code || error.kind() == ErrorKind::AuthenticationFailed {
        denied.store(true, Ordering::Relaxed);
    }
}

/// Returns whether the connection was lost, so that the script may never have
/// reached the server.
pub(super) fn lost_connection(error: &Error) -> bool {
    matches!(error, Error::Redis(error) if error.is_connection_dropped())
}

/// Returns whether the server did not run the script because another server has to:
/// a slot that moved, or a former master that is now a replica.
fn is_redirected(error: &Error) -> bool {
    let kinds = [ServerErrorKind::Moved, ServerErrorKind::ReadOnly];
    matches!(error, Error::Redis(error) if kinds.map(ErrorKind::Server).contains(&error.kind()))
}
