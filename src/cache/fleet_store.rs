//! Calls of the fleet's store: their time limits, and reports about them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::cache::settings::FleetMember;
use crate::cache::shared::Shared;
use crate::cache::source_call::catch_panic;
use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::patience::patiently;
use crate::store::{Account, Acquire, Acquired, Completion};
use crate::telemetry::Event;

/// How long a store keeps a refresh token that has no fixed end.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 86_400);

impl Shared {
    /// Returns the account of this cache in the store. Its holder may be known only
    /// once the source is prepared.
    pub(super) fn store_account(&self, fleet: &FleetMember) -> Account {
        Account::new(fleet.name.as_str()).held_by(self.source.holder())
    }

    /// Returns `None` if the store could not be reached. The request is then
    /// withdrawn, because it may get a lease when no caller waits for one.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        fleet: &FleetMember,
        acquire: Acquire,
    ) -> Option<Acquired> {
        self.acquire_within(fleet, acquire, false).await
    }

    /// Does the same. A process that `waits` for another has more time.
    pub(super) async fn acquire_within(
        self: &Arc<Self>,
        fleet: &FleetMember,
        acquire: Acquire,
        waits: bool,
    ) -> Option<Acquired> {
        let account = self.store_account(fleet);
        let acquire = Acquire {
            nonce: fastrand::u64(1..),
            ..acquire
        };
        let answer = fleet.store.acquire(&account, &acquire);
        let acquired = self.store_call(answer, waits).await;
        if acquired.is_none() && !acquire.lease.is_zero() {
            tokio::spawn(withdraw(self.clone(), account.clone(), acquire));
        }
        self.note_warning(fleet, &account);
        acquired
    }

    /// Returns `None` if the store could not be reached.
    pub(crate) async fn complete(
        &self,
        fleet: &FleetMember,
        completion: Completion,
    ) -> Option<bool> {
        let account = self.store_account(fleet);
        let answer = fleet.store.complete(&account, &completion);
        self.store_call(answer, false).await
    }

    /// Returns the store's answer, within its time limit. The status reports a
    /// failure.
    async fn store_call<R>(
        &self,
        answer: impl Future<Output = Result<R, BoxError>>,
        waits: bool,
    ) -> Option<R> {
        let first =
            self.with_state(|state, _| !std::mem::replace(&mut state.rare.asked_store, true));
        let limit = match first || waits {
            true => self
                .settings
                .store_timeout
                .max(self.settings.store_connect_timeout),
            false => self.settings.store_timeout,
        };
        let error = |what: &str| {
            let what = format!("the token store of {:?} {what}", self.label);
            TokenError::new(TokenErrorKind::Store, what)
        };
        let answer = match patiently(limit, catch_panic(answer)).await {
            Some(Some(answer)) => answer.map_err(|e| error("failed").with_source(e)),
            Some(None) => Err(error("panicked")),
            None => Err(error(&format!("did not answer within {limit:?}"))),
        };
        let (answer, fault) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(fault) => (None, Some(fault)),
        };
        let before = self
            .with_state(|state, _| std::mem::replace(&mut state.rare.store_error, fault.clone()));
        match &fault {
            Some(error) => self.emit(&Event::StoreError {
                error,
                first: before.is_none(),
            }),
            None if before.is_some() => self.emit(&Event::StoreRecovered),
            None => {}
        }
        answer
    }

    /// Reports what the store has noticed, if it differs from before.
    fn note_warning(&self, fleet: &FleetMember, account: &Account) {
        let warning = fleet.store.warning(account);
        let before = self.with_state(|state, _| {
            std::mem::replace(&mut state.rare.store_warning, warning.clone())
        });
        if let Some(warning) = warning.filter(|it| before.as_ref() != Some(it)) {
            let account = &account.name;
            self.emit(&Event::StoreWarning {
                account,
                warning: &warning,
            });
            self.changes.notify();
        }
    }
}

/// How long one withdrawal may take, and the pauses between two.
const WITHDRAWAL: Duration = Duration::from_secs(2);
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Withdraws a request for a lease, until the store has received it or the lease
/// would be over anyway.
async fn withdraw(shared: Arc<Shared>, account: Account, acquire: Acquire) {
    let Some(fleet) = &shared.fleet else {
        return;
    };
    let (start, mut pause) = (Instant::now(), PAUSES.0);
    while start.elapsed() < acquire.lease {
        let withdrawn = catch_panic(fleet.store.withdraw(&account, acquire.nonce));
        if let Ok(Some(Ok(()))) = timeout(WITHDRAWAL, withdrawn).await {
            return;
        }
        sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        pause = (2 * pause).min(PAUSES.1);
    }
}
