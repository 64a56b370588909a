//! The settings of a server.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::api_rejection::ApiRejection;
use super::listen::serve;
use super::reply::status_code;
use super::server::{Running, TokenServer};
use super::service::TokenService;
use super::shared::{Config, Shared};
use super::state::State;

const USERNAME: &str = "your@email.com";
/// Contains every character that is easily encoded wrongly in a form or a header.
const PASSWORD: &str = "p&ss=w+rd 100% \"ü\"";

/// Builder of a [`TokenServer`], returned by [`TokenServer::builder`].
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
    pub(super) impersonators: Vec<String>,
    pub(super) config: Config,
    delay: Duration,
}

impl TokenServer {
    /// Starts a server with the default settings on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// Fails if no port can be opened.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with I/O enabled.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> TokenServerBuilder {
        TokenServerBuilder::new()
    }
}

impl TokenServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            users: Vec::new(),
            impersonators: Vec::new(),
            config: Config {
                client_id: "api".to_owned(),
                client_secret: None,
                access_lifetime: Duration::from_secs(3000),
                refresh_lifetime: Some(Duration::from_secs(7200)),
                rotate: false,
                refresh_ends_access_tokens: false,
                one_refresh_token_per_account: false,
                lifetimes_as_text: false,
                form_responses: false,
                wrong_password_status: StatusCode::UNAUTHORIZED,
                direct_grants: true,
                client_assertion: false,
                client_certificate: false,
                api_rejection: ApiRejection::default(),
                exchange_refresh_tokens: true,
                voipex_api: false,
            },
            delay: Duration::ZERO,
        }
    }

    /// Adds a user. The first one replaces the default user, whose password is full of
    /// characters that are easily encoded wrongly.
    pub fn user(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((username.into(), password.into()));
        self
    }

    /// Sets the id of the client that may request tokens. Default: `api`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.config.client_id = id.into();
        self
    }

    /// Sets the client's secret, which it must send in a Basic header or in the
    /// form. With a secret the client may also use the grant `client_credentials`.
    /// Default: none, so the client is public.
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.config.client_secret = Some(secret.into());
        self
    }

    /// Requires the client to authenticate with an assertion (`private_key_jwt`), which
    /// can be used once. Its claims are checked, its signature is not. The client may
    /// then also use the grant `client_credentials`.
    pub fn client_assertion(mut self) -> Self {
        self.config.client_assertion = true;
        self
    }

    /// Assumes that the client authenticates with a certificate (`tls_client_auth`, RFC
    /// 8705), which a TLS proxy in front of the server checks. The client may then also
    /// use the grant `client_credentials`.
    pub fn client_certificate(mut self) -> Self {
        self.config.client_certificate = true;
        self
    }

    /// Sets the lifetime of access tokens. Default: 3000 s. `expires_in` is rounded
    /// down to whole seconds.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.config.access_lifetime = lifetime;
        self
    }

    /// Sets the lifetime of refresh tokens, counted from each refresh. Default: 7200
    /// s. With zero they do not expire, and the response has
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

    /// Sets whether a refresh token can be used only once (Keycloak's
    /// `revokeRefreshToken`); reusing one revokes all tokens of its session.
    /// Default: `false`.
    pub fn rotate_refresh_tokens(mut self, rotate: bool) -> Self {
        self.config.rotate = rotate;
        self
    }

    /// Sets whether a refresh ends the access tokens of its session, as in Spring
    /// Authorization Server by default, Ory Hydra and others. Default: `false`. See
    /// [`Renewal`](crate::Renewal).
    pub fn refresh_ends_access_tokens(mut self, ends: bool) -> Self {
        self.config.refresh_ends_access_tokens = ends;
        self
    }

    /// Sets whether a user has one refresh token at a time, as in Dex: a login ends
    /// those of earlier logins, whose access tokens stay valid. Default: `false`.
    pub fn one_refresh_token_per_account(mut self, one: bool) -> Self {
        self.config.one_refresh_token_per_account = one;
        self
    }

    /// Sets whether `expires_in` and `refresh_expires_in` are sent as strings, as
    /// some servers do, although RFC 6749 has numbers. Default: `false`.
    pub fn lifetimes_as_text(mut self, as_text: bool) -> Self {
        self.config.lifetimes_as_text = as_text;
        self
    }

    /// Sets whether the token endpoint responds with forms instead of JSON, as
    /// GitHub does. Default: `false`. Mock responses that edit its own response are
    /// forms too.
    pub fn form_responses(mut self, forms: bool) -> Self {
        self.config.form_responses = forms;
        self
    }

    /// Sets the response status for a wrong password: 401 (the default) as in Keycloak
    /// up to 26.5, or 400 as in later versions, which also check the password of a
    /// disabled account first.
    ///
    /// # Panics
    ///
    /// Panics if it is not an HTTP status.
    pub fn wrong_password_status(mut self, status: impl TryInto<StatusCode>) -> Self {
        self.config.wrong_password_status = status_code(status);
        self
    }

    /// Sets whether the client may use the grant `password`. Default: `true`.
    pub fn direct_grants(mut self, allowed: bool) -> Self {
        self.config.direct_grants = allowed;
        self
    }

    /// Sets how the API rejects a token. Default: 401 with a Bearer challenge.
    ///
    /// ```
    /// # use http::{Request, StatusCode};
    /// # use tower::ServiceExt;
    /// use tower_bearer::testing::{ApiRejection, TokenServer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = TokenServer::builder()
    ///     .api_rejection(ApiRejection::Forbidden)
    ///     .in_process();
    /// let request = Request::get("http://localhost/calls").body(String::new())?;
    /// let response = server.service().oneshot(request).await?;
    /// assert_eq!(response.status(), StatusCode::FORBIDDEN);
    /// assert_eq!(server.counts().api_unauthorized, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn api_rejection(mut self, rejection: ApiRejection) -> Self {
        self.config.api_rejection = rejection;
        self
    }

    /// Sets the delay of each token response. Default: zero. See
    /// [`TokenServer::set_delay`].
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Builds a server without sockets, for [`TokenServer::service`] and
    /// [`TokenServer::grant`]. Needs no runtime.
    pub fn in_process(self) -> TokenServer {
        self.build("http://localhost".to_owned(), |_| None)
    }

    /// Starts the server on a free port of 127.0.0.1, on the current runtime.
    /// It speaks HTTP/1.1 and, by prior knowledge, HTTP/2.
    ///
    /// # Errors
    ///
    /// Fails if no port can be opened.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with I/O enabled.
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
        let mut state = State::new(self.users, self.delay);
        for name in self.impersonators {
            state.users.entry(name).or_default().impersonates = true;
        }
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
            .field("api_rejection", &self.config.api_rejection)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
