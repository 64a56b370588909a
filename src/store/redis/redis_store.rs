//! A store in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::connection::{Connection, lost_connection};
use super::error::Error;
use super::scripts::{
    self, AcquireResult, failure_memory_millis, flag, keys, lease_millis, meta_millis, millis, text,
};
use crate::error::BoxError;
use crate::store::seal::{AssociatedData, Kind, Sealer};
use crate::store::token_store::{
    Acquire, Acquired, Completion, Entry, FAILURES_KEPT, Lease, Stored, TokenStore,
};

/// How often one call deletes an entry that it cannot open: a token, a failure, and
/// what others write meanwhile.
const MAX_DELETIONS: usize = 4;

/// The room that the scripts need in an entry for what they put before it, in bytes.
const ENTRY_PREFIX: usize = 128;

/// A store in Redis or Valkey, for many processes. Cheap to clone; clones share one
/// connection for the scripts and one for the subscription.
///
/// Built by [`RedisStore::builder`], [`RedisStore::sentinel`] or
/// [`RedisStore::cluster`]. The documentation of the [module](crate::store) explains
/// what it needs of the server and how it fails.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) prefix: String,
    pub(super) sealer: Sealer,
    pub(super) connection: Connection,
    pub(super) changes: Changes,
}

impl RedisStore {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }
}

// `acquire` runs in its own task: if the caller stops waiting, a lease that arrives
// late is returned, and a connection that takes long is ready for the next call.
// `complete` ends with its caller, because its times would be wrong later.
impl TokenStore for RedisStore {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, BoxError> {
        self.inner.changes.ensure_subscribed();
        let (inner, account, acquire) = (Arc::clone(&self.inner), account.to_owned(), *acquire);
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let acquired = inner.acquire(&account, &acquire).await;
            if let Err(Ok(Acquired::Lease(unused))) = sender.send(acquired) {
                inner.return_lease(&account, unused).await;
            }
        });
        Ok(receiver.await.unwrap_or(Err(Error::RuntimeEnded))?)
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, BoxError> {
        self.inner.changes.ensure_subscribed();
        Ok(self.inner.complete(account, completion).await?)
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        self.inner.changes.watch(account)
    }
}

impl Inner {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, Error> {
        let (mut unreadable_token, mut unreadable_failure) = (Vec::new(), Vec::new());
        let credentials = acquire.credentials;
        for _ in 0..MAX_DELETIONS {
            let mut args = vec![
                text(acquire.newer_than),
                flag(acquire.rejected),
                flag(acquire.ignore_failure),
                lease_millis(acquire.lease),
                std::mem::take(&mut unreadable_token),
                std::mem::take(&mut unreadable_failure),
                text(scripts::MAX_ENTRY),
                meta_millis(),
                failure_memory_millis(),
            ];
            args.extend(self.names(account, credentials));
            let call = scripts::acquire(keys(&self.prefix, account), args);
            let result = match self.connection.run(&call).await {
                // A lease from the first attempt has no holder, and expires.
                Err(error) if lost_connection(&error) => self.connection.run(&call).await?,
                result => result?,
            };
            let (kind, generation, sealed, ttl, refresh_generation, failure, failure_generation): AcquireResult = result;
            let ttl = Duration::from_millis(ttl);
            let open = |kind, generation, sealed: &[u8]| {
                let data = self.associated_data(account, kind, (generation, credentials));
                self.sealer.open(data, sealed)
            };
            let entry = |kind| {
                open(kind, generation, &sealed).map(|payload| Entry {
                    generation,
                    payload,
                    ttl,
                })
            };
            let acquired = match kind.as_str() {
                "token" => entry(Kind::Token).map(Acquired::Token),
                "failure" => entry(Kind::Failure).map(Acquired::Failure),
                "busy" => Some(Acquired::Busy(ttl)),
                _ => Some(Acquired::Lease(Lease {
                    generation,
                    refresh_token: open(Kind::RefreshToken, refresh_generation, &sealed)
                        .map(|payload| Stored { payload, ttl }),
                    failure: open(Kind::Failure, failure_generation, &failure),
                })),
            };
            if let Some(acquired) = acquired {
                return Ok(acquired);
            }
            match kind.as_str() {
                "token" => {
                    unreadable_token = [format!("{generation}:").as_bytes(), &sealed].concat();
                }
                _ => unreadable_failure = sealed,
            }
        }
        Err(Error::Unreadable)
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, Error> {
        let (generation, credentials) = (completion.generation, completion.credentials);
        let seal = |kind, stored: &Option<Stored>| match stored {
            Some(Stored { payload, ttl }) => {
                let data = self.associated_data(account, kind, (generation, credentials));
                Ok([self.sealer.seal(data, payload)?, millis(*ttl)])
            }
            None => Ok::<_, Error>([Vec::new(), text(0)]),
        };
        let parts = [
            seal(Kind::Token, &completion.token)?,
            seal(Kind::RefreshToken, &completion.refresh_token)?,
            seal(Kind::Failure, &completion.failure)?,
        ];
        let longest = scripts::MAX_ENTRY - ENTRY_PREFIX;
        if parts.iter().any(|[sealed, _]| sealed.len() > longest) {
            return Err(Error::TooLong);
        }
        let mut args = vec![text(generation)];
        args.extend(parts.into_iter().flatten());
        args.extend([meta_millis(), text(self.changes.channel()), text(account)]);
        args.extend([failure_memory_millis(), text(FAILURES_KEPT)]);
        args.extend(self.names(account, credentials));
        let call = scripts::complete(keys(&self.prefix, account), args);
        // Never sent twice: in between, another process may have taken the refresh
        // token.
        let written: u8 = self.connection.run(&call).await?;
        self.changes.notify(account);
        Ok(written == 1)
    }

    /// The fields of these credentials in the hash of failures.
    fn names(&self, account: &str, credentials: u64) -> impl Iterator<Item = Vec<u8>> {
        let names = self.sealer.names(&self.prefix, account, credentials);
        names.into_iter().map(String::into_bytes)
    }

    /// Ends a lease whose caller is gone, and keeps its refresh token.
    async fn return_lease(&self, account: &str, unused: Lease) {
        let completion = Completion {
            refresh_token: unused.refresh_token.clone(),
            ..Completion::of(&unused)
        };
        // On an error the lease expires.
        let _ = self.complete(account, &completion).await;
    }

    fn associated_data<'a>(
        &'a self,
        account: &'a str,
        kind: Kind,
        (generation, credentials): (u64, u64),
    ) -> AssociatedData<'a> {
        AssociatedData {
            kind,
            generation,
            prefix: &self.prefix,
            account,
            credentials,
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}
