//! The resource owner password credentials grant.

use std::hash::{DefaultHasher, Hash};

use zeroize::Zeroizing;

use crate::error::{ConfigError, TokenError, TokenErrorKind};
use crate::grant::client::Client;
use crate::grant::endpoint::Endpoint;
use crate::grant::grant::Grant;
use crate::grant::grant_type::GrantType;
use crate::grant::params::Form;
use crate::transport::DefaultTransport;

/// A user name and a password, exchanged for tokens (RFC 6749, section 4.3),
/// and refresh tokens for new ones (section 6).
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
/// [`Config`](TokenErrorKind::Config) when a token is asked for, and nothing is
/// sent.
pub type PasswordGrant<T = DefaultTransport> = Grant<Password, T>;

/// The kind of [`PasswordGrant`].
pub struct Password {
    username: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Password {
    pub(super) fn new(username: String, password: String) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }
}

impl Grant<Password> {
    /// A password grant at this token endpoint, for a client that is public
    /// until [`client_auth`](Self::client_auth) says otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`Endpoint::new`].
    pub fn new(
        endpoint: impl TryInto<Endpoint, Error: Into<ConfigError>>,
        client_id: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        // First, so that they are wiped if the endpoint is refused.
        let kind = Password::new(username.into(), password.into());
        let endpoint = endpoint.try_into().map_err(Into::into)?;
        Ok(Self::of(kind, endpoint, Client::new(client_id)))
    }
}

impl GrantType for Password {
    const NAME: &'static str = "PasswordGrant";

    fn grant_type(&self) -> &str {
        "password"
    }

    fn hash_credentials(&self, hasher: &mut DefaultHasher) {
        (self.username.as_str(), self.password.as_str()).hash(hasher);
    }

    async fn add_params<'a>(&'a self, form: Form<'a>) -> Result<Form<'a>, TokenError> {
        for (what, text) in [
            ("the user name is empty", &self.username),
            ("the password is empty", &self.password),
        ] {
            if text.is_empty() {
                return Err(TokenError::new(TokenErrorKind::Config, what));
            }
        }
        Ok(form
            .public("username", &self.username)
            .secret("password", self.password.as_str()))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}
