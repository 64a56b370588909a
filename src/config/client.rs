//! Client authentication from a configuration.

use std::path::{Path, PathBuf};

use super::source_config::SourceConfig;
use super::values::Secret;
use crate::error::{ConfigError, TokenError};
use crate::grant::{self, ClientAuth, Credential, SecretFile, SecretSource};
#[cfg(feature = "private-key-jwt")]
use crate::secret_file;

/// A key that holds a secret, and the key that names a file instead.
pub(super) struct SecretKeys<'a> {
    pub(super) name: &'static str,
    pub(super) value: &'a Option<Secret>,
    pub(super) file_name: &'static str,
    pub(super) file: &'a Option<PathBuf>,
}

impl SecretKeys<'_> {
    /// Returns the current secret.
    pub(super) fn read(&self) -> Result<Option<grant::Secret>, ConfigError> {
        match (self.value, self.file) {
            (Some(_), Some(_)) => Err(only_one(self.file_name, self.name)),
            (Some(Secret(secret)), None) => Ok(Some(secret.clone())),
            (None, Some(path)) => read_file(self.file_name, path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Returns the secret, which is read again for each token request if it is in a
    /// file. The file is also read once now, so that a missing or empty one is
    /// noticed when the program starts.
    pub(super) fn credential(&self) -> Result<Option<Credential>, ConfigError> {
        let secret = self.read()?;
        Ok(match self.file {
            Some(path) => Some(SecretFile::new(path).into()),
            None => secret.map(Credential::from),
        })
    }

    /// Returns a required value.
    pub(super) fn needed<T>(&self, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| one_of(self.name, self.file_name))
    }

    /// Returns the source of a short-lived secret, whose file need not exist yet.
    pub(super) fn source(&self) -> Result<Option<ShortLived>, ConfigError> {
        match (self.value, self.file) {
            (Some(_), Some(_)) => Err(only_one(self.file_name, self.name)),
            (Some(Secret(secret)), None) => Ok(Some(ShortLived::Fixed(secret.clone()))),
            (None, Some(path)) => Ok(Some(ShortLived::File(SecretFile::new(path)))),
            (None, None) => Ok(None),
        }
    }
}

/// A short-lived secret: in the configuration, or in a file.
pub(super) enum ShortLived {
    Fixed(grant::Secret),
    File(SecretFile),
}

impl SecretSource for ShortLived {
    async fn secret(&self) -> Result<grant::Secret, TokenError> {
        match self {
            Self::Fixed(secret) => Ok(secret.clone()),
            Self::File(file) => file.secret().await,
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::File(file) => file.files(),
        }
    }
}

/// How the reason of an error for a missing key begins.
pub(super) const MISSING: &str = "is missing";

/// Returns the error for two keys of which one must be set.
pub(super) fn one_of(name: &'static str, other: &'static str) -> ConfigError {
    let reason = format!("{MISSING}, and so is `{other}`: set one of them");
    ConfigError::new(name, reason)
}

/// Reads the secret in the file that a key names.
pub(super) fn read_file(name: &'static str, path: &Path) -> Result<grant::Secret, ConfigError> {
    SecretFile::new(path)
        .read()
        .map_err(|error| ConfigError::new(name, format!("{}: {error}", path.display())))
}

/// Returns the value of a key that is required.
pub(super) fn needed<T>(name: &'static str, value: Option<T>) -> Result<T, ConfigError> {
    value.ok_or_else(|| ConfigError::new(name, MISSING))
}

/// Returns the error for two keys of which only one may be set.
pub(super) fn only_one(name: &'static str, other: &'static str) -> ConfigError {
    ConfigError::new(name, format!("conflicts with `{other}`: set only one"))
}

/// The values of `client_auth`.
const METHODS: [&str; 7] = [
    "none",
    "client_secret_basic",
    "client_secret_basic_unencoded",
    "client_secret_post",
    "private_key_jwt",
    "client_assertion",
    "tls_client_auth",
];

fn unknown_method() -> ConfigError {
    let reason = format!("is none of `{}`", METHODS.join("`, `"));
    ConfigError::new("client_auth", reason)
}

impl SourceConfig {
    pub(super) fn client_auth(&self) -> Result<ClientAuth, ConfigError> {
        let secret = SecretKeys {
            name: "client_secret",
            value: &self.client_secret,
            file_name: "client_secret_file",
            file: &self.client_secret_file,
        };
        let client_secret = secret.credential()?;
        let has_key = self.private_key.is_some() || self.private_key_file.is_some();
        // In a `jwt_bearer` grant, the key signs the grant's assertion.
        let signs_grant = self.signs_grant();
        let assertion_keys = SecretKeys {
            name: "client_assertion",
            value: &self.client_assertion,
            file_name: "client_assertion_file",
            file: &self.client_assertion_file,
        };
        let assertion = assertion_keys.source()?;
        let method = self.client_auth.as_deref().unwrap_or(match () {
            () if client_secret.is_some() => "client_secret_basic",
            () if has_key && !signs_grant => "private_key_jwt",
            () if assertion.is_some() => "client_assertion",
            () => "none",
        });
        // Before a key is called unused, which it may be only by the method's name.
        if !METHODS.contains(&method) {
            return Err(unknown_method());
        }
        let of_secret = &[
            "client_secret_basic",
            "client_secret_basic_unencoded",
            "client_secret_post",
        ] as &[_];
        let (of_key, of_assertion) = (&["private_key_jwt"], &["client_assertion"] as &[_]);
        let keys = self
            .keys_of_signed()
            .into_iter()
            .chain([("private_key", has_key)]);
        let keys = keys.map(|(name, is_set)| (name, is_set && !signs_grant, of_key as &[_]));
        for (name, is_set, methods) in keys.chain([
            ("client_secret", client_secret.is_some(), of_secret),
            (
                "client_assertion",
                self.client_assertion.is_some(),
                of_assertion,
            ),
            (
                "client_assertion_file",
                self.client_assertion_file.is_some(),
                of_assertion,
            ),
        ]) {
            if is_set && !methods.contains(&method) {
                let reason =
                    "is not used by this method of client authentication: see `client_auth`";
                return Err(ConfigError::new(name, reason));
            }
        }
        match method {
            "none" => Ok(ClientAuth::none()),
            "tls_client_auth" => Ok(ClientAuth::tls_client_auth()),
            "client_secret_basic" => secret
                .needed(client_secret)
                .map(ClientAuth::client_secret_basic),
            "client_secret_basic_unencoded" => secret
                .needed(client_secret)
                .map(ClientAuth::client_secret_basic_unencoded),
            "client_secret_post" => secret
                .needed(client_secret)
                .map(ClientAuth::client_secret_post),
            "client_assertion" => assertion_keys
                .needed(assertion)
                .map(ClientAuth::client_assertion),
            "private_key_jwt" => self.private_key_jwt(),
            _ => Err(unknown_method()),
        }
    }

    /// Returns whether the private key signs the assertion of a `jwt_bearer` grant.
    pub(super) fn signs_grant(&self) -> bool {
        let is_given = self.assertion.is_some() || self.assertion_file.is_some();
        self.grant.as_deref() == Some("jwt_bearer") && !is_given
    }

    /// Returns the keys about the signing and the content of an assertion, and
    /// whether they are set.
    fn keys_of_signed(&self) -> [(&'static str, bool); 9] {
        [
            ("key_id", self.key_id.is_some()),
            ("key_algorithm", self.key_algorithm.is_some()),
            ("key_certificate_file", self.key_certificate_file.is_some()),
            ("assertion_audience", self.assertion_audience.is_some()),
            ("assertion_issuer", self.assertion_issuer.is_some()),
            ("assertion_subject", self.assertion_subject.is_some()),
            ("assertion_lifetime", self.assertion_lifetime.is_some()),
            ("assertion_claims", self.assertion_claims.is_some()),
            ("assertion_headers", self.assertion_headers.is_some()),
        ]
    }
}

#[cfg(feature = "private-key-jwt")]
impl SourceConfig {
    fn private_key_jwt(&self) -> Result<ClientAuth, ConfigError> {
        let mut jwt = self.signed_jwt()?;
        if !self.signs_grant() {
            if let Some(audience) = &self.assertion_audience {
                jwt = jwt.audience(audience);
            }
            if let Some(issuer) = &self.assertion_issuer {
                jwt = jwt.issuer(issuer);
            }
            jwt = self.with_claims(jwt);
        }
        Ok(ClientAuth::private_key_jwt(jwt))
    }

    /// Sets the subject and other claims of an assertion.
    pub(super) fn with_claims(&self, mut jwt: grant::SignedJwt) -> grant::SignedJwt {
        if let Some(subject) = &self.assertion_subject {
            jwt = jwt.subject(subject);
        }
        for (name, value) in self.assertion_claims.iter().flat_map(|table| &table.0) {
            jwt = jwt.claim(name, &value.0);
        }
        jwt
    }

    /// Returns assertions that the configured key signs. A key in a file is read
    /// again for each of them.
    pub(super) fn signed_jwt(&self) -> Result<crate::grant::SignedJwt, ConfigError> {
        use crate::grant::{PrivateKey, SignedJwt};

        let pem = SecretKeys {
            name: "private_key",
            value: &self.private_key,
            file_name: "private_key_file",
            file: &self.private_key_file,
        };
        let secret = pem.needed(pem.read()?)?;
        let mut key = match pem.file {
            Some(path) => PrivateKey::from_pem_file(path)?,
            None => PrivateKey::from_pem(secret.secret())?,
        };
        if let Some(id) = &self.key_id {
            key = key.with_key_id(id);
        }
        if let Some(algorithm) = &self.key_algorithm {
            let refused = |e: ConfigError| ConfigError::new("key_algorithm", e.reason().to_owned());
            key = key.with_algorithm(algorithm).map_err(refused)?;
        }
        if let Some(path) = &self.key_certificate_file {
            let name = "key_certificate_file";
            let fault = |what: &str| ConfigError::new(name, format!("{}: {what}", path.display()));
            let pem = secret_file::read_bytes(path).map_err(|error| fault(&error.to_string()))?;
            key = key
                .with_certificate(&*pem)
                .map_err(|error| fault(error.reason()))?;
        }
        let mut jwt = SignedJwt::new(key);
        for (name, value) in self.assertion_headers.iter().flat_map(|table| &table.0) {
            jwt = jwt.header(name, &value.0);
        }
        match &self.assertion_lifetime {
            Some(lifetime) => jwt
                .lifetime(lifetime.0)
                .map_err(|e| ConfigError::new("assertion_lifetime", e.reason().to_owned())),
            None => Ok(jwt),
        }
    }
}

#[cfg(not(feature = "private-key-jwt"))]
impl SourceConfig {
    fn private_key_jwt(&self) -> Result<ClientAuth, ConfigError> {
        self.signed_jwt().map(ClientAuth::client_assertion)
    }

    pub(super) fn signed_jwt(&self) -> Result<SecretFile, ConfigError> {
        let reason = "needs tower-bearer's feature `private-key-jwt`";
        Err(ConfigError::new("private_key", reason))
    }
}
