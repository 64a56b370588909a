//! Fetching as one of a fleet: see [`crate::store`] for the rules.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cache::ask::caught;
use crate::cache::brought::Brought;
use crate::cache::clock::Moment;
use crate::cache::membership::Fleet;
use crate::cache::record;
use crate::cache::schedule::Standing;
use crate::cache::shared::Shared;
use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::events::{By, Event};
use crate::store::{Claim, Claimed, Entry, Lease, Payload, Settlement};
use crate::token::{RefreshToken, TokenResponse};

/// How long nobody asks the store again who waits for a change.
const POLL: Duration = Duration::from_secs(1);

/// How often an answer that nobody can use is taken for an accident.
const MOST_UNUSABLE: u32 = 8;

/// How long a store keeps a refresh token that has no fixed end.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

impl Shared {
    /// A token from the store, or by a lease from the source; by itself where
    /// the store cannot be asked.
    pub(crate) async fn ask_in(self: &Arc<Self>, fleet: &Fleet) -> Brought {
        let patience = Instant::now() + self.settings.source_timeout;
        let mut changes = fleet.store.changes(&fleet.account);
        let mut claim = self.with_ledger(|ledger, _| ledger.claim(self.settings.lease));
        let mut unusable = 0;
        while unusable < MOST_UNUSABLE {
            changes.mark_unchanged();
            let born = self.settings.clock.now();
            let Some(claimed) = self.claim(fleet, claim).await else {
                return self.ask().await;
            };
            // What comes later is not what was rejected or pardoned.
            (claim.rejected, claim.pardon) = (false, false);
            match claimed {
                Claimed::Token(entry) => match self.adopt(&entry, born) {
                    Some(brought) => return brought,
                    // Nobody can use it.
                    None => {
                        (claim.newer_than, claim.rejected) = (entry.generation, true);
                        unusable += 1;
                    }
                },
                Claimed::Failed(entry) => match self.fail_too(&entry, born) {
                    Some(brought) => return brought,
                    None => {
                        claim.pardon = true;
                        unusable += 1;
                    }
                },
                Claimed::Leased(lease) => return self.ask_by(lease, fleet, claim).await,
                Claimed::Held(left) => {
                    let patience = patience.saturating_duration_since(Instant::now());
                    if patience.is_zero() {
                        return self.ask().await;
                    }
                    pause(&mut changes, left.min(patience)).await;
                }
            }
        }
        // Such a store is as good as none.
        self.ask().await
    }

    /// By the lease, and settles it.
    async fn ask_by(self: &Arc<Self>, lease: Lease, fleet: &Fleet, claim: Claim) -> Brought {
        let windows = &self.settings.windows;
        let given = lease.refresh_token.as_ref();
        let given = given.and_then(|(payload, left)| record::read_refresh_token(payload, *left));
        // From a time when the store was away.
        let own = self.with_ledger(|ledger, now| ledger.refresh.take(now, windows));
        let refresh_token = match (given, own) {
            (Some(given), Some(own)) => {
                self.end_in_background(own);
                Some(given)
            }
            (given, own) => given.or(own),
        };
        let mut brought = None;
        if let Some(refresh_token) = &refresh_token {
            brought = self.refresh(refresh_token).await;
            if brought.is_none()
                && let Some(newer) = self.look_for_newer(fleet, claim).await
            {
                self.settle(fleet, Settlement::of(&lease)).await;
                return newer;
            }
        }
        let mut brought = match brought {
            Some(brought) => brought,
            None => self.log_in().await,
        };
        if let Err(error) = &brought.answer {
            let (backoff, random) = (&self.settings.backoff, fastrand::f64());
            let pause = self.with_ledger(|ledger, _| ledger.troubles.pause(error, backoff, random));
            brought.pause = Some(pause);
        }
        let settlement = self.settlement(&lease, &brought, refresh_token.as_ref());
        let written = self.settle(fleet, settlement).await;
        // It is the store's now, or may be: a store that did not answer may have
        // written it.
        let left_over = brought
            .answer
            .as_mut()
            .ok()
            .and_then(TokenResponse::take_refresh_token);
        brought.refreshed = false;
        match written {
            Some(true) => brought.stored = brought.answer.is_ok().then_some(lease.generation),
            None => {}
            Some(false) => {
                // Another holder was quicker than this one, whose lease is over.
                if let Some(newer) = self.look_for_newer(fleet, claim).await {
                    if let Some(refresh_token) = left_over {
                        self.end_in_background(refresh_token);
                    }
                    return newer;
                }
            }
        }
        brought
    }

    /// What somebody else has brought meanwhile. Takes no lease.
    async fn look_for_newer(&self, fleet: &Fleet, claim: Claim) -> Option<Brought> {
        let born = self.settings.clock.now();
        let look = Claim {
            lease: Duration::ZERO,
            ..claim
        };
        match self.claim(fleet, look).await? {
            Claimed::Token(entry) => self.adopt(&entry, born),
            _ => None,
        }
    }

    fn settlement(
        &self,
        lease: &Lease,
        brought: &Brought,
        refresh_token: Option<&RefreshToken>,
    ) -> Settlement {
        let windows = &self.settings.windows;
        let mut settlement = Settlement::of(lease);
        let passed = self.settings.clock.now().since(&brought.born) + self.settings.store_timeout;
        let left = |lifetime: Duration| lifetime.saturating_sub(passed);
        match &brought.answer {
            Ok(response) => {
                let token = response.access_token();
                let span = token.lifetime().map_or(windows.due_without_lifetime, left);
                settlement.token = record::write_access_token(token)
                    .map(|payload| (payload, span))
                    .filter(|(_, span)| !span.is_zero());
                // RFC 6749, section 6: the old one stays in use.
                let old = refresh_token.filter(|_| brought.refreshed);
                if let Some(token) = response.refresh_token().or(old) {
                    settlement.refresh_token = kept(token, left);
                }
            }
            Err(error) => {
                settlement.failure = record::write_failure(error, self.source.fingerprint())
                    .zip(brought.pause)
                    .filter(|(_, pause)| !pause.is_zero());
                // Where the server may have used it up it is not used again.
                if brought.refreshed && was_put_off(error) {
                    settlement.refresh_token = refresh_token.and_then(|token| kept(token, left));
                }
            }
        }
        settlement
    }

    /// Another process's token.
    fn adopt(&self, entry: &Entry, born: Moment) -> Option<Brought> {
        let token = record::read_access_token(&entry.payload)?;
        let lifetime = token.lifetime();
        let age = lifetime.map_or(Duration::ZERO, |it| it.saturating_sub(entry.left));
        let plan = self.settings.windows.plan(lifetime, 0.0);
        (plan.standing(age) != Standing::Expired).then(|| Brought {
            age,
            stored: Some(entry.generation),
            by: By::Store,
            ..Brought::new(Ok(token.into()), born)
        })
    }

    /// Another process's failure.
    fn fail_too(&self, entry: &Entry, born: Moment) -> Option<Brought> {
        let error = record::read_failure(&entry.payload, self.source.fingerprint())?;
        Some(Brought {
            by: By::Store,
            pause: Some(entry.left),
            ..Brought::new(Err(error), born)
        })
    }

    /// Ends a session that nobody goes on with, if the source knows how.
    fn end_in_background(self: &Arc<Self>, refresh_token: RefreshToken) {
        let shared = self.clone();
        tokio::spawn(async move {
            let ended = shared.source.revoke(None, Some(&refresh_token));
            let _ = shared.bounded(ended).await;
        });
    }

    /// `None` if the store could not be asked.
    pub(crate) async fn claim(&self, fleet: &Fleet, claim: Claim) -> Option<Claimed> {
        self.asked(fleet.store.claim(&fleet.account, &claim)).await
    }

    /// `None` if the store could not be asked.
    pub(crate) async fn settle(&self, fleet: &Fleet, settlement: Settlement) -> Option<bool> {
        self.asked(fleet.store.settle(&fleet.account, &settlement))
            .await
    }

    /// The store's answer, within its time. The status tells if there is none.
    async fn asked<R>(&self, answer: impl Future<Output = Result<R, BoxError>>) -> Option<R> {
        let limit = self.settings.store_timeout;
        let error = |what| TokenError::new(TokenErrorKind::Store, what);
        let answer = match timeout(limit, caught(answer)).await {
            Ok(Some(answer)) => {
                answer.map_err(|e| error("the token store failed".into()).because(e))
            }
            Ok(None) => Err(error("the token store panicked".into())),
            Err(_) => Err(error(format!(
                "the token store did not answer within {limit:?}"
            ))),
        };
        let (answer, fault) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (None, Some(fault)),
        };
        let before =
            self.with_ledger(|ledger, _| std::mem::replace(&mut ledger.store_fault, fault.clone()));
        match &fault {
            Some(error) => self.tell(&Event::StoreFault {
                error,
                first: before.is_none(),
            }),
            None if before.is_some() => self.tell(&Event::StoreBack),
            None => {}
        }
        answer
    }
}

/// Waits for a change, or for the end of a lease.
pub(crate) async fn pause(changes: &mut watch::Receiver<()>, left: Duration) {
    // What is over by now is over in the store a little later.
    let pause = left.clamp(SHORT, POLL);
    if let Ok(Err(_)) = timeout(pause, changes.changed()).await {
        // Nobody tells.
        sleep(pause).await;
    }
}

/// Less than anybody waits for.
const SHORT: Duration = Duration::from_millis(5);

fn kept(token: &RefreshToken, left: impl Fn(Duration) -> Duration) -> Option<(Payload, Duration)> {
    let span = token.lifetime().map_or(LONGEST, left).min(LONGEST);
    record::write_refresh_token(token)
        .map(|payload| (payload, span))
        .filter(|(_, span)| !span.is_zero())
}

/// The server said that it did nothing: too many requests, or not in service.
fn was_put_off(error: &TokenError) -> bool {
    error
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 429 | 503))
}
