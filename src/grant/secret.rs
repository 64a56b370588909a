//! Secrets, and where they come from.

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
#[cfg(any(feature = "config", feature = "private-key-jwt"))]
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{BoxError, TokenError, TokenErrorKind};
use crate::grant::fingerprint::Fingerprint;
use crate::secret_file;
use crate::token::AccessToken;

/// A string that is kept secret: an assertion, a subject token, a parameter.
///
/// Cheap to clone. Absent from `Debug`, wiped when the last clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Returns the string itself.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Zeroizing::new(text).into()
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(Arc::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Secret {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<AccessToken> for Secret {
    fn from(token: AccessToken) -> Self {
        token.secret().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Source of a short-lived secret, called for each token request.
///
/// A [`Secret`] is its own source, a [`SecretFile`] reads a file, a
/// [`SignedJwt`](super::SignedJwt) signs an assertion, and any closure that returns
/// a future of a `String` or of an access token is a source:
///
/// ```
/// use tower_bearer::grant::JwtBearerGrant;
/// # use tower_bearer::{AccessToken, TokenCache};
/// # fn sign() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # fn grants() -> Result<(), Box<dyn std::error::Error>> {
/// # let users = TokenCache::new(AccessToken::new("t")?);
///
/// let signed = || async { sign() };
/// let grant = JwtBearerGrant::new("https://auth.example.com/token", signed)?;
///
/// let of_another_cache = move || {
///     let users = users.clone();
///     async move { users.token().await }
/// };
/// let grant = JwtBearerGrant::new("https://auth.example.com/token", of_another_cache)?;
/// # let _ = grant; Ok(()) }
/// # grants().unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of secrets",
    label = "not a `SecretSource`",
    note = "a closure like `|| async {{ Ok::<_, std::io::Error>(String::from(\"…\")) }}`, a `Secret`, a `SecretFile` or a `SignedJwt` is one; for a fixed string write `Secret::from(\"…\")`"
)]
pub trait SecretSource: Send + Sync + 'static {
    /// Returns the current secret.
    ///
    /// # Errors
    ///
    /// Fails if there is none. A closure's error that is not a [`TokenError`]
    /// becomes [`TokenErrorKind::Source`], which is transient.
    fn secret(&self) -> impl Future<Output = Result<Secret, TokenError>> + Send;

    /// Returns the files that the secret is in, so that new contents count as new
    /// credentials. The default returns none.
    #[doc(hidden)]
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns a fingerprint of the secret, or of the key that signs it. The default
    /// returns 0: it is not known in advance.
    #[doc(hidden)]
    fn fingerprint(&self) -> u64 {
        0
    }
}

impl<F, Fut, S, E> SecretSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<S, E>> + Send,
    S: Into<Secret>,
    E: Into<BoxError>,
{
    async fn secret(&self) -> Result<Secret, TokenError> {
        match self().await {
            Ok(secret) => Ok(secret.into()),
            Err(error) => Err(TokenError::from_source(error)),
        }
    }
}

impl SecretSource for Secret {
    async fn secret(&self) -> Result<Secret, TokenError> {
        Ok(self.clone())
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::new();
        Secret::secret(self).hash(&mut hasher);
        hasher.finish()
    }
}

/// Secret in a file, read again for each token request so that the file can be
/// rewritten or replaced: Kubernetes does so with a service account's token, and
/// with any secret that it mounts. A byte order mark at the start and line ends and
/// blanks at the end are dropped. The file is read on a thread for blocking work.
///
/// Grants accept it wherever they accept a [`SecretSource`] or a
/// [`Credential`](super::Credential):
///
/// ```
/// use tower_bearer::PasswordGrant;
/// use tower_bearer::grant::SecretFile;
///
/// let password = SecretFile::new("/run/secrets/calls");
/// let account = PasswordGrant::voipex("your@email.com", password);
/// # let _ = account;
/// ```
///
/// After a refusal the file is checked once a second while callers ask for a token.
/// New contents are tried at once; a refused secret waits for its pause.
///
/// If the file cannot be read, is empty, is not UTF-8, or is larger than a mebibyte,
/// the token request fails with an error of the kind
/// [`Source`](TokenErrorKind::Source), which names the file and is transient.
#[derive(Clone, Debug)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// Creates a source that reads the file at this path. It need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Reads the file. Blocks.
    #[cfg(any(feature = "config", feature = "private-key-jwt"))]
    pub(crate) fn read(&self) -> io::Result<Secret> {
        secret_file::read(&self.0).map(Secret::from)
    }
}

impl SecretSource for SecretFile {
    async fn secret(&self) -> Result<Secret, TokenError> {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || secret_file::read(&path)).await;
        let error: BoxError = match read {
            Ok(Ok(secret)) => return Ok(secret.into()),
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        };
        let what = format!("the secret in {} could not be read", self.0.display());
        Err(TokenError::new(TokenErrorKind::Source, what).with_source(error))
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
}

type SecretFuture<'a> = Pin<Box<dyn Future<Output = Result<Secret, TokenError>> + Send + 'a>>;

/// [`SecretSource`] as a trait object.
pub trait DynSecretSource: Send + Sync + 'static {
    fn secret(&self) -> SecretFuture<'_>;
    fn files(&self) -> Vec<PathBuf>;
    fn fingerprint(&self) -> u64;
}

impl<S: SecretSource> DynSecretSource for S {
    fn secret(&self) -> SecretFuture<'_> {
        Box::pin(SecretSource::secret(self))
    }

    fn files(&self) -> Vec<PathBuf> {
        SecretSource::files(self)
    }

    fn fingerprint(&self) -> u64 {
        SecretSource::fingerprint(self)
    }
}

/// Gets a secret that must not be empty; `empty` is the error if it is.
pub(super) async fn ask(
    source: &dyn DynSecretSource,
    empty: &'static str,
) -> Result<Secret, TokenError> {
    let secret = source.secret().await?;
    if secret.secret().is_empty() {
        return Err(TokenError::new(TokenErrorKind::Config, empty));
    }
    Ok(secret)
}
