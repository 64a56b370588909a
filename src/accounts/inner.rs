//! What all handles of the accounts share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::accounts::made::Make;
use crate::accounts::shelf::Shelf;
use crate::cache::{Gate, Template, TokenCache, TokenCacheBuilder};

pub(crate) struct Inner<K> {
    pub(crate) rules: Rules<K>,
    pub(crate) shelf: Shelf<K>,
    /// Goes up by one with each of the steward's rounds, from 1.
    pub(crate) tick: AtomicU64,
    pub(crate) closed: AtomicBool,
    /// A steward watches the clock.
    pub(crate) on_duty: AtomicBool,
    pub(crate) steward: Mutex<Steward>,
}

/// What a user set.
pub(crate) struct Rules<K> {
    pub(crate) make: Arc<Make<K>>,
    pub(crate) template: Template,
    pub(crate) settings_for: Option<Box<SettingsFor<K>>>,
    pub(crate) gate: Arc<Gate>,
    /// For those who end sessions: they may wait for one who waits at the other.
    pub(crate) ending: Arc<Gate>,
    pub(crate) capacity: usize,
    pub(crate) idle: Duration,
    pub(crate) revoke_after: Option<Duration>,
}

pub(crate) type SettingsFor<K> = dyn Fn(&K, TokenCacheBuilder) -> TokenCacheBuilder + Send + Sync;

/// What the steward has to do.
#[derive(Default)]
pub(crate) struct Steward {
    pub(crate) task: Option<JoinHandle<()>>,
    /// Whose sessions are to be ended, and when; in that order.
    pub(crate) leaving: VecDeque<(Instant, TokenCache)>,
}
