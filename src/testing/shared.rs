//! State that the server, its services and its connections share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::api_rejection::ApiRejection;
use super::counts::Counters;
use super::mint::Mint;
use super::response_queue::ResponseQueue;
use super::state::State;

/// The settings of a server.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    pub(super) access_lifetime: Duration,
    pub(super) refresh_lifetime: Option<Duration>,
    pub(super) rotate: bool,
    pub(super) refresh_ends_access_tokens: bool,
    pub(super) one_refresh_token_per_account: bool,
    pub(super) lifetimes_as_text: bool,
    pub(super) form_responses: bool,
    pub(super) wrong_password_status: StatusCode,
    pub(super) direct_grants: bool,
    pub(super) client_assertion: bool,
    pub(super) client_certificate: bool,
    pub(super) api_rejection: ApiRejection,
    pub(super) exchange_refresh_tokens: bool,
    pub(super) voipex_api: bool,
}

pub(super) struct Shared {
    /// Distinguishes it from others in the process.
    pub(super) id: u64,
    /// The server's own address, without a slash at the end.
    pub(super) issuer: String,
    pub(super) config: Config,
    pub(super) mint: Mint,
    pub(super) counters: Arc<Counters>,
    pub(super) token_responses: ResponseQueue,
    pub(super) exchange_responses: ResponseQueue,
    pub(super) api_responses: ResponseQueue,
    /// The SMS that were sent, in VoIPex's form, each with its user.
    pub(super) messages: Mutex<Vec<(String, Value)>>,
    state: RwLock<State>,
}

impl Shared {
    pub(super) fn new(issuer: String, config: Config, state: State) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            issuer,
            config,
            mint: Mint::new(),
            counters: Arc::default(),
            token_responses: ResponseQueue::default(),
            exchange_responses: ResponseQueue::default(),
            api_responses: ResponseQueue::default(),
            messages: Mutex::default(),
            state: RwLock::new(state),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
