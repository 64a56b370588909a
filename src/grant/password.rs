//! The resource owner password credentials grant, and its preset for VoIPex.

use std::fmt;
use std::hash::Hash;

use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::credential::Credential;
use crate::grant::endpoint::IntoEndpoint;
use crate::grant::fingerprint::Fingerprint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::transport::DefaultTransport;

/// Grant that exchanges a user name and a password for tokens (RFC 6749, section
/// 4.3), and refresh tokens for new ones (section 6).
///
/// Create one with [`PasswordGrant::voipex`] for VoIPex, or for another server
/// with `PasswordGrant::new(endpoint, client_id, username, password)`. The
/// settings are methods of [`Grant`]: [`client_secret`](Grant::client_secret) and
/// [`client_auth`](Grant::client_auth), [`scope`](Grant::scope),
/// [`param`](Grant::param), [`timeout`](Grant::timeout),
/// [`max_response`](Grant::max_response),
/// [`logout_endpoint`](Grant::logout_endpoint),
/// [`revocation_endpoint`](Grant::revocation_endpoint) and
/// [`transport`](Grant::transport).
///
/// ```
/// # fn grant() -> Result<(), Box<dyn std::error::Error>> {
/// # let (password, secret) = ("p", "s");
/// use std::time::Duration;
/// use tower_bearer::PasswordGrant;
///
/// let account = PasswordGrant::voipex("your@email.com", password);
///
/// let account = PasswordGrant::new("https://auth.example.com/token", "my-app", "me", password)?
///     .client_secret(secret)
///     .scope("calls messages")
///     .param("totp", "123456")?
///     .timeout(Duration::from_secs(5))?;
/// # let _ = account; Ok(()) }
/// # grant().unwrap();
/// ```
///
/// An empty client id, user name or password is an error of the kind
/// [`Config`](TokenErrorKind::Config) when a token is requested, and nothing is
/// sent.
pub type PasswordGrant<T = DefaultTransport> = Grant<Password, T>;

/// Kind of [`PasswordGrant`].
pub struct Password {
    username: Zeroizing<String>,
    password: Credential,
}

impl Password {
    fn new(username: impl Into<String>, password: impl Into<Credential>) -> Self {
        Self {
            username: username.into().into(),
            password: password.into(),
        }
    }
}

impl Grant<Password> {
    /// Creates a password grant at a token endpoint: its URL, or an
    /// [`Endpoint`](super::Endpoint). The client is public unless
    /// [`client_auth`](Self::client_auth) is set. The password is a string, or a
    /// [`SecretFile`](crate::grant::SecretFile) that is read for each login.
    ///
    /// # Errors
    ///
    /// Fails as [`Endpoint::new`](super::Endpoint::new) does.
    pub fn new(
        endpoint: impl IntoEndpoint,
        client_id: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<Credential>,
    ) -> Result<Self, ConfigError> {
        // First, so that they are wiped if the endpoint is refused.
        let kind = Password::new(username, password);
        let endpoint = endpoint.into_endpoint()?;
        Ok(Self::of(kind, endpoint, Client::new(client_id)))
    }

    /// Creates the grant for VoIPex's API: `https://auth.voipex.io/token` with the
    /// client id `api`. The user name is the e-mail address of an API access or of a
    /// user. VoIPex's documentation also names a scope, `openid profile`, which is
    /// optional: set it with [`scope`](Self::scope).
    ///
    /// The password is a string, or a [`SecretFile`](crate::grant::SecretFile) that
    /// is read for each login.
    ///
    /// ```
    /// # let password = "secret";
    /// use tower_bearer::PasswordGrant;
    ///
    /// let account = PasswordGrant::voipex("your@email.com", password);
    /// # let _ = account;
    /// ```
    pub fn voipex(username: impl Into<String>, password: impl Into<Credential>) -> Self {
        Self::at_voipex(Password::new(username, password))
    }
}

impl GrantType for Password {
    const NAME: &'static str = "PasswordGrant";
    const MAY_LOCK: bool = true;
    const CREDENTIALS: &'static str = "user name or password";

    fn grant_type(&self) -> &str {
        "password"
    }

    fn user(&self) -> Option<&str> {
        Some(&self.username)
    }

    fn hash_credentials(&self, hasher: &mut Fingerprint) {
        (self.username.as_str(), &self.password).hash(hasher);
    }

    fn credential(&self) -> Option<&Credential> {
        Some(&self.password)
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        let password = self.password.get().await?;
        for (what, text) in [
            ("the user name is empty", self.username.as_str()),
            ("the password is empty", password.secret()),
        ] {
            if text.is_empty() {
                return Err(TokenError::new(TokenErrorKind::Config, what));
            }
        }
        Ok(form
            .called(&self.username)
            .public("username", &self.username)
            .secret("password", password))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}
