//! The server and its controls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::counts::Counts;
use super::response_queue::{MockEndpoint, ResponseQueue};
use super::service::TokenService;
use super::shared::Shared;
use super::state::{State, User};
use crate::grant::{Credential, PasswordGrant};

/// Authorization server and API that accepts its tokens, for tests.
///
/// The [module](super) describes its endpoints and has examples.
///
/// Dropping the server closes its port; connections have a second to finish the
/// responses in progress. [`shutdown`](Self::shutdown) waits for that.
pub struct TokenServer {
    shared: Arc<Shared>,
    api_url: String,
    token_url: String,
    username: String,
    running: Option<Running>,
}

/// The task that serves the sockets. It ends when `stop` is dropped.
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

    /// Returns an id that distinguishes this server from others in the process.
    pub(super) fn id(&self) -> u64 {
        self.shared.id
    }

    /// Returns the server as a tower service, without sockets. Users, tokens, mock
    /// responses and counts are the same as those of the sockets.
    pub fn service(&self) -> TokenService {
        TokenService::new(Arc::clone(&self.shared))
    }

    /// Stops the server and waits until its port is free and its connections are
    /// closed, for at most a second.
    pub async fn shutdown(mut self) {
        if let Some(Running { stop, task }) = self.running.take() {
            drop(stop);
            let _ = task.await;
        }
    }

    /// Returns the URL of the token endpoint: `http://127.0.0.1:PORT/token`, or
    /// `http://localhost/token` in process.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// Returns the API's origin, without a slash at the end: `http://127.0.0.1:PORT`, or
    /// `http://localhost` in process.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Returns the id of the client that may request tokens.
    pub fn client_id(&self) -> &str {
        &self.shared.config.client_id
    }

    /// Returns the name of the first user.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Returns the current password of the first user.
    pub fn password(&self) -> String {
        let state = self.shared.read();
        let user = state.users.get(&self.username);
        user.map(|user| user.password.clone()).unwrap_or_default()
    }

    /// Returns a password grant for the first user, over the in-process
    /// [`service`](Self::service), so it also works with paused time. Revoking its cache
    /// ends the session at the server.
    ///
    /// ```
    /// use tower_bearer::TokenCache;
    /// use tower_bearer::testing::TokenServer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_bearer::TokenError> {
    /// let server = TokenServer::builder().in_process();
    /// let tokens = TokenCache::new(server.grant());
    /// tokens.token().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn grant(&self) -> PasswordGrant<TokenService> {
        self.grant_for(self.username(), self.password())
    }

    /// Returns a password grant as [`grant`](Self::grant) does, with another user
    /// name and password. Use it to test a wrong password:
    ///
    /// ```
    /// use tower_bearer::testing::TokenServer;
    /// use tower_bearer::{TokenCache, TokenErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = TokenServer::builder().in_process();
    /// let tokens = TokenCache::new(server.grant_for(server.username(), "wrong"));
    ///
    /// let error = tokens.token().await.unwrap_err();
    /// assert_eq!(error.kind(), TokenErrorKind::Refused);
    /// assert_eq!(error.oauth_error(), Some("invalid_grant"));
    /// # }
    /// ```
    pub fn grant_for(
        &self,
        username: impl Into<String>,
        password: impl Into<Credential>,
    ) -> PasswordGrant<TokenService> {
        PasswordGrant::new(self.token_url(), self.client_id(), username, password)
            .and_then(|grant| grant.logout_endpoint(format!("{}/logout", self.api_url())))
            .expect("the server's own URL is on loopback")
            .transport(self.service())
            .salted(self.id())
    }

    /// Revokes all access tokens issued so far: the API responds to them with 401.
    /// Sessions and refresh tokens stay valid.
    pub fn revoke_access_tokens(&self) {
        self.shared.write().revoke_access_tokens();
    }

    /// Ends all sessions, with their access tokens and refresh tokens.
    pub fn end_sessions(&self) {
        self.shared.write().end_sessions();
    }

    /// Invalidates all tokens issued so far, as Keycloak's not-before policy does.
    /// Sessions stay open.
    pub fn push_not_before(&self) {
        let now = self.shared.mint.epoch_seconds(Instant::now());
        self.shared.write().push_not_before(now);
    }

    /// Sets a user's password, adding the user if there is none with that name.
    /// Tokens stay valid.
    ///
    /// A grant that was created before keeps the old password. To test a wrong
    /// password from the start, use [`grant_for`](Self::grant_for).
    pub fn set_password(&self, username: &str, password: impl Into<String>) {
        self.edit_user(username, |user| user.password = password.into());
    }

    /// Disables a user: logins and refreshes are refused, access tokens stay valid.
    pub fn disable_user(&self, username: &str) {
        self.edit_user(username, |user| user.disabled = true);
    }

    /// Requires an action of a user, such as a new password: logins are refused,
    /// refreshes are not.
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

    pub(super) fn edit_user(&self, username: &str, edit: impl FnOnce(&mut User)) {
        self.edit(|state| edit(state.users.entry(username.to_owned()).or_default()));
    }

    pub(super) fn edit(&self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.shared.write());
    }

    /// Sets the delay of each token response. The server processes the request when
    /// it arrives, so a client that leaves during the delay leaves issued tokens
    /// behind. Requests in progress keep their delay.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.write().delay = delay;
    }

    /// Returns the mock responses of the token endpoint.
    ///
    /// ```
    /// use tower_bearer::testing::{MockResponse, TokenServer};
    ///
    /// let server = TokenServer::builder().in_process();
    /// server.token_endpoint().enqueue([
    ///     MockResponse::status(503).retry_after("120"),
    ///     MockResponse::error(400, "invalid_grant"),
    /// ]);
    /// ```
    pub fn token_endpoint(&self) -> MockEndpoint<'_> {
        MockEndpoint(&self.shared.token_responses)
    }

    /// Returns the mock responses of the API.
    ///
    /// ```
    /// use tower_bearer::testing::{MockResponse, TokenServer};
    ///
    /// let server = TokenServer::builder().in_process();
    /// server.api().set_default(MockResponse::unauthorized(["Bearer error=\"invalid_token\""]));
    /// ```
    pub fn api(&self) -> MockEndpoint<'_> {
        MockEndpoint(&self.shared.api_responses)
    }

    pub(super) fn exchange_responses(&self) -> &ResponseQueue {
        &self.shared.exchange_responses
    }

    /// Removes the mock responses of the token endpoint, of VoIPex's exchange and of the
    /// API.
    pub fn clear_responses(&self) {
        self.token_endpoint().clear();
        self.exchange_endpoint().clear();
        self.api().clear();
    }

    /// Returns the server's counters since it started.
    pub fn counts(&self) -> Counts {
        let open_sessions = self.shared.read().open_sessions();
        self.shared.counters.read(open_sessions)
    }

    /// Returns the number of requests to the token endpoint, as
    /// [`Counts::token_requests`].
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
