//! A grant that is set up for the server.

use crate::grant::PasswordGrant;
use crate::testing::server::TokenServer;
use crate::testing::service::TokenService;

impl TokenServer {
    /// A password grant with the server's first user, over the in-process
    /// [`service`](Self::service), so that it also works under paused
    /// time. A cache that is revoked ends its session there.
    pub fn grant(&self) -> PasswordGrant<TokenService> {
        self.grant_for(self.username(), self.password())
    }

    /// The same with a user name and a password of one's own.
    pub fn grant_for(
        &self,
        username: impl Into<String>,
        password: impl Into<String>,
    ) -> PasswordGrant<TokenService> {
        PasswordGrant::new(self.token_url(), self.client_id(), username, password)
            .and_then(|grant| grant.logout_endpoint(format!("{}/logout", self.api_url())))
            .expect("the server's own URL is on loopback")
            .transport(self.service())
            .salted(self.id())
    }
}
