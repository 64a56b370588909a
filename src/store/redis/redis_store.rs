//! A store in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::changes::Changes;
use super::fault::Fault;
use super::keys::keys;
use super::link::{Link, was_cut_off};
use super::scripts::{self, Answer, flag, lease_millis, meta_millis, millis, text};
use super::seal::{Kind, Label, Sealer};
use crate::error::BoxError;
use crate::store::payload::Payload;
use crate::store::token_store::{Claim, Claimed, Entry, Lease, Settlement, TokenStore};

/// How often a claim deletes what it cannot open: a token, a failure, and what
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

// A claim has a task of its own: a caller that does not wait for it leaves no
// lease that nobody knows of, and a connection that takes long is made for the
// next one. A settlement ends with its caller, for its times would be wrong.
impl TokenStore for RedisStore {
    async fn claim(&self, account: &str, claim: &Claim) -> Result<Claimed, BoxError> {
        self.inner.changes.listen();
        let (inner, account, claim) = (Arc::clone(&self.inner), account.to_owned(), *claim);
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let claimed = inner.claim(&account, &claim).await;
            if let Err(Ok(Claimed::Leased(unheard))) = tell.send(claimed) {
                inner.give_back(&account, unheard).await;
            }
        });
        Ok(told.await.unwrap_or(Err(Fault::Ended))?)
    }

    async fn settle(&self, account: &str, settlement: &Settlement) -> Result<bool, BoxError> {
        self.inner.changes.listen();
        Ok(self.inner.settle(account, settlement).await?)
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        self.inner.changes.watch(account)
    }
}

impl Inner {
    async fn claim(&self, account: &str, claim: &Claim) -> Result<Claimed, Fault> {
        let (mut token, mut failure) = (Vec::new(), Vec::new());
        for _ in 0..DELETIONS {
            let step = scripts::claim(
                keys(&self.prefix, account),
                vec![
                    text(claim.newer_than),
                    flag(claim.rejected),
                    flag(claim.pardon),
                    lease_millis(claim.lease),
                    std::mem::take(&mut token),
                    std::mem::take(&mut failure),
                    text(scripts::LONGEST),
                    meta_millis(),
                ],
            );
            let answer = match self.link.run(&step).await {
                // A lease from the first attempt is nobody's, and ends.
                Err(fault) if was_cut_off(&fault) => self.link.run(&step).await?,
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
            let claimed = match what.as_str() {
                "token" => entry(Kind::Token).map(Claimed::Token),
                "failed" => entry(Kind::Failure).map(Claimed::Failed),
                "held" => Some(Claimed::Held(left)),
                _ => Some(Claimed::Leased(Lease {
                    generation,
                    refresh_token: open(Kind::RefreshToken, refresh_generation)
                        .map(|payload| (payload, left)),
                })),
            };
            if let Some(claimed) = claimed {
                return Ok(claimed);
            }
            let value = [format!("{generation}:").as_bytes(), &sealed].concat();
            match what.as_str() {
                "token" => token = value,
                _ => failure = value,
            }
        }
        Err(Fault::Unreadable)
    }

    async fn settle(&self, account: &str, settlement: &Settlement) -> Result<bool, Fault> {
        let generation = settlement.generation;
        let part = |kind, part: &Option<(Payload, Duration)>| match part {
            Some((payload, span)) => {
                let label = self.label(account, kind, generation);
                Ok([self.sealer.seal(label, payload)?, millis(*span)])
            }
            None => Ok::<_, Fault>([Vec::new(), text(0)]),
        };
        let parts = [
            part(Kind::Token, &settlement.token)?,
            part(Kind::RefreshToken, &settlement.refresh_token)?,
            part(Kind::Failure, &settlement.failure)?,
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
        let step = scripts::settle(keys(&self.prefix, account), args);
        // Never twice: between two, somebody may have taken the refresh token.
        let kept: u8 = self.link.run(&step).await?;
        self.changes.tell(account);
        Ok(kept == 1)
    }

    /// Ends the lease of a caller who is gone, and keeps its refresh token.
    async fn give_back(&self, account: &str, unheard: Lease) {
        let settlement = Settlement {
            refresh_token: unheard.refresh_token.clone(),
            ..Settlement::of(&unheard)
        };
        // Else the lease ends by itself.
        let _ = self.settle(account, &settlement).await;
    }

    fn label<'a>(&'a self, account: &'a str, kind: Kind, generation: u64) -> Label<'a> {
        Label {
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
