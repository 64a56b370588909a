//! The running server and its controls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::counts::Counts;
use super::response_queue::MockEndpoint;
use super::service::TokenService;
use super::shared::Shared;
use super::state::User;

/// A token endpoint and an API that its tokens open, for tests.
///
/// See the [module](super) for what it does and an example.
///
/// Dropping the server closes its port; connections get a second to finish the
/// answers under way. [`shutdown`](Self::shutdown) waits for that.
pub struct TokenServer {
    shared: Arc<Shared>,
    api_url: String,
    token_url: String,
    username: String,
    running: Option<Running>,
}

/// The task behind the sockets. It ends when `stop` is dropped.
pub(super) struct Running {
    pub(super) stop: watch::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

impl TokenServer {
    pub(super) fn new(
        shared: Arc<Shared>,
        api_url: String,
        username: String,
        running: Option<Running>,
    ) -> Self {
        Self {
            shared,
            token_url: format!("{api_url}/token"),
            api_url,
            username,
            running,
        }
    }

    /// Tells this server from others in the process.
    pub(super) fn id(&self) -> u64 {
        self.shared.id
    }

    /// The server as a tower service, without sockets. Both ways lead to the
    /// same users, tokens, scripts and counts.
    pub fn service(&self) -> TokenService {
        TokenService::new(Arc::clone(&self.shared))
    }

    /// Stops the server and waits until its port is free and all its
    /// connections are closed, a second at most.
    pub async fn shutdown(mut self) {
        if let Some(Running { stop, task }) = self.running.take() {
            drop(stop);
            let _ = task.await;
        }
    }

    /// The token endpoint, `http://127.0.0.1:PORT/token`; in process
    /// `http://localhost/token`.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// The API's origin, without a slash at the end: `http://127.0.0.1:PORT`;
    /// in process `http://localhost`.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The client that may ask for tokens.
    pub fn client_id(&self) -> &str {
        &self.shared.config.client_id
    }

    /// The name of the first user.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The first user's password, as it is now.
    pub fn password(&self) -> String {
        let state = self.shared.read();
        let user = state.users.get(&self.username);
        user.map(|user| user.password.clone()).unwrap_or_default()
    }

    /// Revokes all access tokens issued so far: the API answers them with 401.
    /// Sessions and refresh tokens stay.
    pub fn revoke_access_tokens(&self) {
        self.shared.write().revoke_access_tokens();
    }

    /// Ends all sessions: their access tokens and refresh tokens are dead.
    pub fn end_sessions(&self) {
        self.shared.write().end_sessions();
    }

    /// Makes all tokens issued so far stale, as Keycloak's not-before policy
    /// does. Sessions stay open.
    pub fn push_not_before(&self) {
        let now = self.shared.mint.epoch_seconds(Instant::now());
        self.shared.write().push_not_before(now);
    }

    /// Sets a user's password, and makes the user if there is none of that
    /// name. Tokens stay as they are.
    pub fn set_password(&self, username: &str, password: impl Into<String>) {
        self.edit_user(username, |user| user.password = password.into());
    }

    /// Disables a user: neither login nor refresh. Access tokens live on.
    pub fn disable_user(&self, username: &str) {
        self.edit_user(username, |user| user.disabled = true);
    }

    /// Gives a user something to do before the next login, a new password for
    /// one. Refresh goes on.
    pub fn require_action(&self, username: &str) {
        self.edit_user(username, |user| user.action_required = true);
    }

    /// Undoes [`disable_user`](Self::disable_user) and
    /// [`require_action`](Self::require_action).
    pub fn enable_user(&self, username: &str) {
        self.edit_user(username, |user| {
            user.disabled = false;
            user.action_required = false;
        });
    }

    fn edit_user(&self, username: &str, edit: impl FnOnce(&mut User)) {
        let mut state = self.shared.write();
        edit(state.users.entry(username.to_owned()).or_default());
    }

    /// Holds each token answer back for so long. The server decides on the
    /// answer when the request arrives: who leaves during the delay leaves
    /// tokens behind. Requests already under way keep the delay they have.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.write().delay = delay;
    }

    /// The token endpoint's mock responses.
    pub fn token_endpoint(&self) -> MockEndpoint<'_> {
        MockEndpoint(&self.shared.token_responses)
    }

    /// The API's mock responses.
    pub fn api(&self) -> MockEndpoint<'_> {
        MockEndpoint(&self.shared.api_responses)
    }

    /// Removes the mock responses of the token endpoint and of the API.
    pub fn clear_responses(&self) {
        self.token_endpoint().clear();
        self.api().clear();
    }

    /// What the server has seen since it started.
    pub fn counts(&self) -> Counts {
        let open_sessions = self.shared.read().open_sessions();
        self.shared.counters.read(open_sessions)
    }

    /// How many requests came to the token endpoint.
    pub fn token_requests(&self) -> u64 {
        self.counts().token_requests
    }
}

impl fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenServer")
            .field("api_url", &self.api_url)
            .field("username", &self.username)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
