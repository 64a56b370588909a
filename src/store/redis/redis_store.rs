//! A store in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::connection::{Link, lost_connection};
use super::error::Fault;
use super::keys::keys;
use super::scripts::{self, Answer, flag, lease_millis, meta_millis, millis, text};
use crate::error::BoxError;
use crate::store::payload::Payload;
use crate::store::seal::{AssociatedData, Kind, Sealer};
use crate::store::token_store::{Acquire, Acquired, Completion, Entry, Lease, TokenStore};

/// How often a acquire deletes what it cannot open: a token, a failure, and what
/// somebody wrote meanwhile.
const DELETIONS: usize = 4;

/// A store in Redis, or in Valkey, which speaks the same. Cheap to clone; clones
/// share a connection for the steps and one for the subscription.
///
/// From [`RedisStore::builder`]. When to use it, what it needs of the server and
/// how it fails is in [`store`](crate::store).
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) prefix: String,
    pub(super) sealer: Sealer,
    pub(super) link: Link,
    pub(super) changes: Changes,
}

impl RedisStore {
    pub(super) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }
}

// A acquire has a task of its own: a caller that does not wait for it leaves no
// lease that nobody knows of, and a connection that takes long is made for the
// next one. A completion ends with its caller, for its times would be wrong.
impl TokenStore for RedisStore {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, BoxError> {
        self.inner.changes.listen();
        let (inner, account, acquire) = (Arc::clone(&self.inner), account.to_owned(), *acquire);
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let acquired = inner.acquire(&account, &acquire).await;
            if let Err(Ok(Acquired::Lease(unheard))) = tell.send(acquired) {
                inner.give_back(&account, unheard).await;
            }
        });
        Ok(told.await.unwrap_or(Err(Fault::Ended))?)
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, BoxError> {
        self.inner.changes.listen();
        Ok(self.inner.complete(account, completion).await?)
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        self.inner.changes.watch(account)
    }
}

impl Inner {
    async fn acquire(&self, account: &str, acquire: &Acquire) -> Result<Acquired, Fault> {
        let (mut token, mut failure) = (Vec::new(), Vec::new());
        for _ in 0..DELETIONS {
            let step = scripts::acquire(
                keys(&self.prefix, account),
                vec![
                    text(acquire.newer_than),
                    flag(acquire.rejected),
                    flag(acquire.ignore_failure),
                    lease_millis(acquire.lease),
                    std::mem::take(&mut token),
                    std::mem::take(&mut failure),
                    text(scripts::LONGEST),
                    meta_millis(),
                ],
            );
            let answer = match self.link.run(&step).await {
                // A lease from the first attempt is nobody's, and ends.
                Err(fault) if lost_connection(&fault) => self.link.run(&step).await?,
                answer => answer?,
            };
            let (what, generation, sealed, left, refresh_generation): Answer = answer;
            let left = Duration::from_millis(left);
            let open = |kind, generation| {
                self.sealer
                    .open(self.label(account, kind, generation), &sealed)
            };
            let entry = |kind| {
                open(kind, generation).map(|payload| Entry {
                    generation,
                    payload,
                    left,
                })
            };
            let acquired = match what.as_str() {
                "token" => entry(Kind::Token).map(Acquired::Token),
                "failed" => entry(Kind::Failure).map(Acquired::Failure),
                "held" => Some(Acquired::Busy(left)),
                _ => Some(Acquired::Lease(Lease {
                    generation,
                    refresh_token: open(Kind::RefreshToken, refresh_generation)
                        .map(|payload| (payload, left)),
                })),
            };
            if let Some(acquired) = acquired {
                return Ok(acquired);
            }
            let value = [format!("{generation}:").as_bytes(), &sealed].concat();
            match what.as_str() {
                "token" => token = value,
                _ => failure = value,
            }
        }
        Err(Fault::Unreadable)
    }

    async fn complete(&self, account: &str, completion: &Completion) -> Result<bool, Fault> {
        let generation = completion.generation;
        let part = |kind, part: &Option<(Payload, Duration)>| match part {
            Some((payload, span)) => {
                let label = self.label(account, kind, generation);
                Ok([self.sealer.seal(label, payload)?, millis(*span)])
            }
            None => Ok::<_, Fault>([Vec::new(), text(0)]),
        };
        let parts = [
            part(Kind::Token, &completion.token)?,
            part(Kind::RefreshToken, &completion.refresh_token)?,
            part(Kind::Failure, &completion.failure)?,
        ];
        // With room for what the scripts put before it.
        if parts
            .iter()
            .any(|[sealed, _]| sealed.len() > scripts::LONGEST - 128)
        {
            return Err(Fault::TooLong);
        }
        let mut args = vec![text(generation)];
        args.extend(parts.into_iter().flatten());
        args.extend([meta_millis(), text(self.changes.channel()), text(account)]);
        let step = scripts::complete(keys(&self.prefix, account), args);
        // Never twice: between two, somebody may have taken the refresh token.
        let kept: u8 = self.link.run(&step).await?;
        self.changes.notify(account);
        Ok(kept == 1)
    }

    /// Ends the lease of a caller who is gone, and keeps its refresh token.
    async fn give_back(&self, account: &str, unheard: Lease) {
        let completion = Completion {
            refresh_token: unheard.refresh_token.clone(),
            ..Completion::of(&unheard)
        };
        // Else the lease ends by itself.
        let _ = self.complete(account, &completion).await;
    }

    fn label<'a>(&'a self, account: &'a str, kind: Kind, generation: u64) -> AssociatedData<'a> {
        AssociatedData {
            kind,
            generation,
            prefix: &self.prefix,
            account,
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
