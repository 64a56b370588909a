//! Settings of VoIPex's own features.

use crate::cache::TokenCache;
use crate::testing::builder::TokenServerBuilder;
use crate::testing::response_queue::MockEndpoint;
use crate::testing::server::TokenServer;
use crate::testing::service::TokenService;
use crate::voipex::VoipexImpersonation;

impl TokenServerBuilder {
    /// Lets this user, an API access, act for all other users: the field
    /// "Impersonation" in VoIPex's portal. By default no user may, and the exchange
    /// answers 403.
    pub fn impersonator(mut self, username: impl Into<String>) -> Self {
        self.impersonators.push(username.into());
        self
    }

    /// Issues no refresh tokens at VoIPex's exchange.
    pub fn no_refresh_tokens_from_exchange(mut self) -> Self {
        self.config.exchange_refresh_tokens = false;
        self
    }

    /// Serves the documented paths of VoIPex's APIs, which the
    /// [module](crate::testing#voipex) lists, and 404 for all others. By default any
    /// path responds with `{"ok":true}`.
    pub fn voipex_api(mut self) -> Self {
        self.config.voipex_api = true;
        self
    }
}

impl TokenServer {
    /// Returns a source that acts for a user, with the token of `account`, over the
    /// in-process [`service`](Self::service). Revoking its cache ends the user's session
    /// at the server.
    pub fn impersonation(
        &self,
        account: &TokenCache,
        login: impl Into<String>,
    ) -> VoipexImpersonation<TokenService> {
        VoipexImpersonation::new(account.clone(), login)
            .authorization_server(self.api_url())
            .and_then(|it| it.logout_endpoint(format!("{}/logout", self.api_url())))
            .expect("the server's own URL is on loopback")
            .transport(self.service())
            .salted(self.id())
    }

    /// Sets whether this user, an API access, may act for others, like
    /// [`impersonator`](TokenServerBuilder::impersonator) at the start.
    pub fn set_impersonator(&self, username: &str, allowed: bool) {
        self.edit_user(username, |user| user.impersonates = allowed);
    }

    /// Removes a user and ends the user's sessions: logins are refused, and VoIPex's
    /// exchange answers 404.
    pub fn remove_user(&self, username: &str) {
        self.edit(|state| state.remove_user(username));
    }

    /// Returns the mock responses of VoIPex's exchange.
    ///
    /// ```
    /// use tower_bearer::testing::{MockResponse, TokenServer};
    ///
    /// let server = TokenServer::builder().in_process();
    /// server.exchange_endpoint().enqueue([MockResponse::status(503)]);
    /// ```
    pub fn exchange_endpoint(&self) -> MockEndpoint<'_> {
        MockEndpoint(self.exchange_responses())
    }
}
