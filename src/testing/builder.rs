//! Setting up a server.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::listen::serve;
use super::server::{Running, TokenServer};
use super::service::TokenService;
use super::shared::{Config, Shared};
use super::state::State;

const USERNAME: &str = "your@email.com";
/// Every character that a form or a header could get wrong.
const PASSWORD: &str = "p&ss=w+rd 100% \"ü\"";

/// Sets up a [`TokenServer`]; from [`TokenServer::builder`].
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::testing::TokenServer;
///
/// let server = TokenServer::builder()
///     .user("me@example.com", "secret")
///     .access_token_lifetime(Duration::from_secs(60))
///     .rotate_refresh_tokens(true)
///     .in_process();
/// assert_eq!(server.username(), "me@example.com");
/// ```
#[derive(Clone)]
#[must_use]
pub struct TokenServerBuilder {
    users: Vec<(String, String)>,
    config: Config,
    delay: Duration,
}

impl TokenServer {
    /// Starts a server with all defaults on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its I/O enabled.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// A server to set up.
    pub fn builder() -> TokenServerBuilder {
        TokenServerBuilder::new()
    }
}

impl TokenServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            users: Vec::new(),
            config: Config {
                client_id: "api".to_owned(),
                client_secret: None,
                access_lifetime: Duration::from_secs(3000),
                refresh_lifetime: Some(Duration::from_secs(7200)),
                rotate: false,
                wrong_password_status: StatusCode::UNAUTHORIZED,
                direct_grants: true,
                client_assertion: false,
                client_certificate: false,
            },
            delay: Duration::ZERO,
        }
    }

    /// Adds a user. The first one takes the place of the default user, whose
    /// password is full of characters that are easy to encode wrongly.
    pub fn user(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((username.into(), password.into()));
        self
    }

    /// The client that may ask for tokens; `api` by default.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.config.client_id = id.into();
        self
    }

    /// The client's secret, which it must send in a Basic header or in the
    /// form. With it the client may also use the grant `client_credentials`.
    /// None by default: the client is public.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.config.client_secret = Some(secret.into());
        self
    }

    /// The client has to prove itself by an assertion (`private_key_jwt`), good
    /// for one use. Its claims are checked, its signature is not. With it the
    /// client may also use the grant `client_credentials`.
    pub fn client_assertion(mut self) -> Self {
        self.config.client_assertion = true;
        self
    }

    /// The client proves itself by a certificate (RFC 8705), which whoever
    /// speaks TLS in front of the server has checked. With it the client may
    /// also use the grant `client_credentials`.
    pub fn client_certificate(mut self) -> Self {
        self.config.client_certificate = true;
        self
    }

    /// How long access tokens live; 3000 s by default. `expires_in` tells it in
    /// whole seconds, rounded down.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.access_lifetime = lifetime;
        self
    }

    /// How long refresh tokens live; 7200 s by default, and each refresh starts
    /// anew. Zero is for no fixed end, which the answer spells
    /// `"refresh_expires_in":0`.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.refresh_lifetime = Some(lifetime);
        self
    }

    /// Issues no refresh tokens.
    pub fn no_refresh_tokens(mut self) -> Self {
        self.config.refresh_lifetime = None;
        self
    }

    /// Whether a refresh token is good for one use (Keycloak's
    /// `revokeRefreshToken`); off by default. Using one again kills all tokens of
    /// its session.
    pub fn rotate_refresh_tokens(mut self, rotate: bool) -> Self {
        self.config.rotate = rotate;
        self
    }

    /// The status of the answer to a wrong password: 401 (the default) as
    /// Keycloak up to 26.5 has it, or 400 as later ones do, which also look at
    /// the password first when the account is disabled.
    pub fn wrong_password_status(mut self, status: StatusCode) -> Self {
        self.config.wrong_password_status = status;
        self
    }

    /// Whether the client may log users in with their password; on by default.
    pub fn direct_grants(mut self, allowed: bool) -> Self {
        self.config.direct_grants = allowed;
        self
    }

    /// How long each token answer is held back; zero by default. See
    /// [`TokenServer::set_delay`].
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// A server without sockets, for [`TokenServer::service`]. Needs no
    /// runtime.
    pub fn in_process(self) -> TokenServer {
        self.build("http://localhost".to_owned(), |_| None)
    }

    /// Starts the server on a free port of 127.0.0.1, on the current runtime.
    /// It speaks HTTP/1.1 and, by prior knowledge, HTTP/2.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its I/O enabled.
    pub async fn start(self) -> io::Result<TokenServer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let api_url = format!("http://{}", listener.local_addr()?);
        Ok(self.build(api_url, |service| {
            let (stop, stopped) = watch::channel(());
            let task = tokio::spawn(serve(listener, service, stopped));
            Some(Running { stop, task })
        }))
    }

    fn build(
        mut self,
        api_url: String,
        run: impl FnOnce(TokenService) -> Option<Running>,
    ) -> TokenServer {
        if self.users.is_empty() {
            self = self.user(USERNAME, PASSWORD);
        }
        let username = self.users[0].0.clone();
        let state = State::new(self.users, self.delay);
        let shared = Arc::new(Shared::new(api_url.clone(), self.config, state));
        let running = run(TokenService::new(Arc::clone(&shared)));
        TokenServer::new(shared, api_url, username, running)
    }
}

impl fmt::Debug for TokenServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenServerBuilder")
            .field("client_id", &self.config.client_id)
            .field("access_token_lifetime", &self.config.access_lifetime)
            .field("refresh_token_lifetime", &self.config.refresh_lifetime)
            .field("rotate_refresh_tokens", &self.config.rotate)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
