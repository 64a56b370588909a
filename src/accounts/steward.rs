//! The task that keeps time for the accounts: lets go those that were not used
//! for a while, and ends the sessions of those that were let go, if asked to.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::accounts::account::Account;
use crate::accounts::handle::Inner;
use crate::cache::TokenCache;

#[derive(Default)]
pub(crate) struct Steward {
    task: Option<JoinHandle<()>>,
    /// Whose sessions are to be ended, and when; in that order.
    pub(crate) leaving: VecDeque<(Instant, TokenCache)>,
}

/// How well the steward knows when an account was used.
const LONGEST_ROUND: Duration = Duration::from_secs(1);
const SHORTEST_ROUND: Duration = Duration::from_millis(10);

/// In how many rounds an idle account is let go.
const ROUNDS: u32 = 8;

fn round(idle: Duration) -> Duration {
    (idle / ROUNDS).clamp(SHORTEST_ROUND, LONGEST_ROUND)
}

fn rounds(idle: Duration) -> u64 {
    let rounds = idle.as_nanos().div_ceil(round(idle).as_nanos());
    u64::try_from(rounds).unwrap_or(u64::MAX)
}

pub(crate) fn lock<K>(inner: &Inner<K>) -> MutexGuard<'_, Steward> {
    inner.steward.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the task if there is none, or its runtime has ended. Without a runtime
/// the next account to be made starts it.
pub(crate) fn ensure<K: Send + Sync + 'static>(inner: &Arc<Inner<K>>) {
    let mut steward = lock(inner);
    if steward.task.as_ref().is_none_or(JoinHandle::is_finished)
        && let Ok(runtime) = Handle::try_current()
    {
        steward.task = Some(runtime.spawn(keep(Arc::downgrade(inner), round(inner.rules.idle))));
    }
}

/// Notes whose sessions are to be ended.
pub(crate) fn let_go<K>(inner: &Inner<K>, accounts: Vec<Arc<Account<K>>>) {
    let Some(after) = inner.rules.revoke_after else {
        return;
    };
    if accounts.is_empty() {
        return;
    }
    let at = Instant::now() + after;
    let leaving = accounts.iter().map(|it| (at, it.tokens().clone()));
    lock(inner).leaving.extend(leaving);
}

/// Ends with the last handle.
async fn keep<K>(inner: Weak<Inner<K>>, round: Duration) {
    loop {
        sleep(round).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let tick = inner.tick.fetch_add(1, Ordering::Relaxed) + 1;
        let rounds = rounds(inner.rules.idle);
        let idle = |account: &Account<K>| account.used().saturating_add(rounds) < tick;
        let_go(&inner, inner.shelf.take_while(idle));
        for tokens in leaving(&inner) {
            let gate = inner.rules.ending.clone();
            tokio::spawn(async move {
                let _pass = gate.pass().await;
                let _ = tokens.revoke().await;
            });
        }
    }
}

/// Whose time has come.
fn leaving<K>(inner: &Inner<K>) -> Vec<TokenCache> {
    let (now, leaving) = (Instant::now(), &mut lock(inner).leaving);
    let due = leaving.iter().take_while(|(at, _)| *at <= now).count();
    leaving.drain(..due).map(|(_, tokens)| tokens).collect()
}
