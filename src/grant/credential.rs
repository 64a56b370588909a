//! A password or a client's secret, fixed or in a file.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use crate::error::TokenError;
use crate::grant::secret::{Secret, SecretFile, SecretSource};
use crate::sync::lock;

/// Password or client secret: a string, or a [`SecretFile`], which is read for each
/// token request so that it can be rotated in place.
///
/// Created with `into()` from a string, a [`Secret`] or a `SecretFile`. Cheap to
/// clone, absent from `Debug`, wiped when the last clone is dropped.
///
/// ```
/// use tower_bearer::grant::{ClientAuth, SecretFile};
///
/// let fixed = ClientAuth::client_secret_post("s3cret");
/// let rotated = ClientAuth::client_secret_post(SecretFile::new("/run/secrets/billing"));
/// # let _ = (fixed, rotated);
/// ```
#[derive(Clone)]
pub struct Credential(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Secret),
    File(Arc<CredentialFile>),
}

struct CredentialFile {
    file: SecretFile,
    /// The contents when last read.
    last: Mutex<Option<Secret>>,
}

impl Credential {
    /// Returns the secret, read from its file if it is in one.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub(super) async fn get(&self) -> Result<Secret, TokenError> {
        match &self.0 {
            Kind::Fixed(secret) => Ok(secret.clone()),
            Kind::File(credential) => {
                let secret = credential.file.secret().await?;
                *lock(&credential.last) = Some(secret.clone());
                Ok(secret)
            }
        }
    }

    /// Returns the secret if it is known: of a file, what was last read.
    pub(super) fn known(&self) -> Option<Secret> {
        match &self.0 {
            Kind::Fixed(secret) => Some(secret.clone()),
            Kind::File(credential) => lock(&credential.last).clone(),
        }
    }

    /// Returns whether the secret is known without reading a file.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.0, Kind::Fixed(_))
    }
}

impl Hash for Credential {
    /// Hashes the secret: of a file, what was last read, so that it has the
    /// fingerprint of the same secret as a string.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let known = self.known();
        known.as_ref().map_or("", Secret::secret).hash(hasher);
    }
}

impl From<SecretFile> for Credential {
    fn from(file: SecretFile) -> Self {
        let last = Mutex::default();
        Self(Kind::File(Arc::new(CredentialFile { file, last })))
    }
}

impl From<Secret> for Credential {
    fn from(secret: Secret) -> Self {
        Self(Kind::Fixed(secret))
    }
}

macro_rules! from_text {
    ($($type:ty),+) => {$(
        impl From<$type> for Credential {
            fn from(text: $type) -> Self {
                Secret::from(String::from(text)).into()
            }
        }
    )+};
}

from_text!(&str, String, &String, Box<str>, Cow<'_, str>);

impl From<Zeroizing<String>> for Credential {
    fn from(text: Zeroizing<String>) -> Self {
        Secret::from(text).into()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fixed(_) => f.write_str("Credential(..)"),
            Kind::File(credential) => f.debug_tuple("Credential").field(&credential.file).finish(),
        }
    }
}
