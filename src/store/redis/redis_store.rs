//! A store in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::connection::{Connection, lost_connection};
use super::error::Error;
use super::scripts::{
    self, AcquireResult, Names, ScriptCall, failure_memory_millis, flag, lease_millis, meta_millis,
    millis, text, withdrawal_memory_millis,
};
use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::payload::Stored;
use crate::store::seal::{AssociatedData, Kind, Sealer};
use crate::store::token_store::{
    Acquire, Acquired, Completion, Entry, FAILURES_KEPT, Lease, TokenStore,
};
use crate::store::warnings::Warnings;

/// How often one call deletes an entry that it cannot open: a token, a failure, and
/// what other processes write meanwhile.
const MAX_DELETIONS: usize = 4;

/// The space that the scripts need in an entry for what precedes it, in bytes.
const ENTRY_PREFIX: usize = 128;

/// Store in Redis or Valkey, for many processes. Cheap to clone; clones share one
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
    pub(super) warnings: Warnings,
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
// `complete` ends with its caller: an abandoned result is handed over again.
impl TokenStore for RedisStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        self.inner.changes.ensure_subscribed();
        let (inner, account, acquire) = (Arc::clone(&self.inner), account.clone(), *acquire);
        let (sender, receiver) = oneshot::channel();
        tokio::spawn(async move {
            let acquired = inner.acquire(&account, &acquire).await;
            if let Err(Ok(Acquired::Lease(unused))) = sender.send(acquired) {
                inner.return_lease(&account, unused).await;
            }
        });
        Ok(receiver.await.unwrap_or(Err(Error::RuntimeEnded))?)
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        self.inner.changes.ensure_subscribed();
        Ok(self.inner.complete(account, completion).await?)
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        Ok(self.inner.withdraw(account, nonce).await?)
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        let names = Names::of(&self.inner.prefix, account);
        self.inner.changes.watch(&names.text())
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        self.inner.warnings.get(account)
    }
}

impl Inner {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, Error> {
        let mut unreadable = Unreadable::default();
        let mut acquire = *acquire;
        for _ in 0..MAX_DELETIONS {
            let result = match self.ask(account, &acquire, &mut unreadable).await {
                // The first call may still be on its way. Another nonce
                // distinguishes the second one from it.
                Err(error) if lost_connection(&error) => {
                    if !acquire.lease.is_zero() && acquire.nonce != 0 {
                        self.withdraw_one(account, acquire.nonce).await?;
                        acquire.nonce = second(acquire.nonce);
                    }
                    self.ask(account, &acquire, &mut unreadable).await?
                }
                result => result?,
            };
            if let Some(acquired) = self.read(account, &acquire, result, &mut unreadable) {
                return Ok(acquired);
            }
        }
        Err(Error::Unreadable)
    }

    async fn ask(
        &self,
        account: &Account,
        acquire: &Acquire,
        unreadable: &mut Unreadable,
    ) -> Result<AcquireResult, Error> {
        let names = Names::of(&self.prefix, account);
        let sealed_account = match acquire.lease.is_zero() {
            true => Vec::new(),
            false => self.sealed_account(&names, account)?,
        };
        let mut args = vec![
            text(acquire.newer_than),
            flag(acquire.rejected),
            flag(acquire.ignore_failure),
            lease_millis(acquire.lease),
            unreadable.token.clone(),
            unreadable.failure.clone(),
            text(scripts::MAX_ENTRY),
            meta_millis(),
            failure_memory_millis(),
            text(acquire.nonce),
            text(&names.suffix),
            sealed_account,
        ];
        args.extend(self.credentials(account, acquire.credentials));
        let call = ScriptCall {
            kind: scripts::Kind::Acquire,
            keys: names.keys(acquire.nonce),
            args,
        };
        self.connection.run(&call).await
    }

    /// Opens what was acquired; `None` if it must be deleted and requested again.
    fn read(
        &self,
        account: &Account,
        acquire: &Acquire,
        result: AcquireResult,
        unreadable: &mut Unreadable,
    ) -> Option<Acquired> {
        let (
            kind,
            generation,
            sealed,
            ttl,
            refresh_generation,
            failure,
            failure_generation,
            started,
            namesakes,
        ) = result;
        let ttl = Duration::from_millis(ttl);
        let open = |kind, generation, sealed: &[u8]| {
            let data = self.associated_data(account, kind, (generation, acquire.credentials));
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
            _ => {
                let refresh_token = open(Kind::RefreshToken, refresh_generation, &sealed);
                unreadable.any |= refresh_token.is_none() && self.sealer.lacks_key(&sealed);
                Some(Acquired::Lease(Lease {
                    generation,
                    started,
                    refresh_token: refresh_token.map(|payload| Stored { payload, ttl }),
                    failure: open(Kind::Failure, failure_generation, &failure),
                }))
            }
        };
        if acquired.is_none() {
            unreadable.any |= self.sealer.lacks_key(&sealed);
            match kind.as_str() {
                "token" => {
                    unreadable.token = [format!("{generation}:").as_bytes(), &sealed].concat();
                }
                _ => unreadable.failure = sealed,
            }
            return None;
        }
        unreadable.token.clear();
        unreadable.failure.clear();
        self.note_namesakes(account, &namesakes, unreadable.any);
        acquired
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, Error> {
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
        let names = Names::of(&self.prefix, account);
        let mut args = vec![text(generation)];
        args.extend(parts.into_iter().flatten());
        args.extend([
            meta_millis(),
            text(self.changes.channel()),
            text(names.text()),
        ]);
        args.extend([failure_memory_millis(), text(FAILURES_KEPT)]);
        args.extend([text(completion.started), text(&names.suffix)]);
        args.extend(self.credentials(account, credentials));
        let call = ScriptCall {
            kind: scripts::Kind::Complete,
            keys: names.keys(0),
            args,
        };
        // Never sent twice: in between, another process may have taken the refresh
        // token.
        let written: u8 = self.connection.run(&call).await?;
        self.changes.notify(&names.text());
        Ok(written == 1)
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), Error> {
        // Calls that will not be withdrawn have no nonce.
        if nonce == 0 {
            return Ok(());
        }
        self.withdraw_one(account, nonce).await?;
        self.withdraw_one(account, second(nonce)).await
    }

    async fn withdraw_one(&self, account: &Account, nonce: u64) -> Result<(), Error> {
        let names = Names::of(&self.prefix, account);
        let call = ScriptCall {
            kind: scripts::Kind::Withdraw,
            keys: names.keys(nonce),
            args: vec![
                text(nonce),
                withdrawal_memory_millis(),
                text(self.changes.channel()),
                text(names.text()),
            ],
        };
        let _ended: u8 = self.connection.run(&call).await?;
        self.changes.notify(&names.text());
        Ok(())
    }

    /// Returns the fields of these credentials in the hash of failures.
    fn credentials(&self, account: &Account, credentials: u64) -> impl Iterator<Item = Vec<u8>> {
        let names = self.sealer.names(&self.prefix, account, credentials);
        names.into_iter().map(String::into_bytes)
    }

    /// Ends a lease whose caller has left, and keeps its refresh token.
    async fn return_lease(&self, account: &Account, unused: Lease) {
        let completion = Completion {
            refresh_token: unused.refresh_token.clone(),
            ..Completion::of(&unused)
        };
        // After an error the lease expires.
        let _ = self.complete(account, &completion).await;
    }

    pub(super) fn associated_data<'a>(
        &'a self,
        account: &'a Account,
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

/// Returns the nonce of a second attempt.
fn second(nonce: u64) -> u64 {
    nonce.rotate_left(32) ^ 1
}

/// The entries that could not be opened, which must be deleted.
#[derive(Default)]
struct Unreadable {
    token: Vec<u8>,
    failure: Vec<u8>,
    /// Whether one of them was encrypted with an unknown key.
    any: bool,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.inner.prefix)
            .finish_non_exhaustive()
    }
}
