//! The keys of a configuration, and which of them a grant uses.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::cache_config::CacheConfig;
use super::known_keys::KnownKeys;
use super::values::{DurationValue, Flag, Number, Secret, StringList, Table, Text, TokenTypes};
use crate::error::ConfigError;

/// Defines the configuration, and the private struct that serde's code belongs to: a
/// derive on the configuration itself would add a public function.
macro_rules! config {
    (
        $(#[$docs:meta])*
        pub struct SourceConfig {
            $($(#[$comment:meta])* pub(super) $key:ident: $value:ty,)*
        }
    ) => {
        $(#[$docs])*
        pub struct SourceConfig {
            $($(#[$comment])* pub(super) $key: $value,)*
            /// The prefix of the variables that it was read from.
            pub(super) variables: Option<String>,
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, remote = "SourceConfig")]
        struct Keys {
            $($key: $value,)*
            #[serde(skip)]
            variables: Option<String>,
        }
    };
}

config! {
    /// Configuration of a source of tokens and its cache. Deserialize it, or read it
    /// from the environment with [`from_env`](Self::from_env); the [module](super) lists
    /// the keys.
    ///
    /// ```
    /// # fn tokens() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::config::SourceConfig;
    /// # #[cfg(feature = "reqwest")] {
    ///
    /// let text = r#"{
    ///     "grant": "client_credentials",
    ///     "token_endpoint": "https://auth.example.com/token",
    ///     "client_id": "billing",
    ///     "client_secret": "s3cret",
    ///     "cache": { "wait_timeout": "20s" }
    /// }"#;
    /// let config: SourceConfig = serde_json::from_str(text)?;
    /// let tokens = config.token_cache()?;
    ///
    /// let error = serde_json::from_str::<SourceConfig>(r#"{ "grant": "x", "scop": "y" }"#);
    /// assert!(error.unwrap_err().to_string().contains("unknown field `scop`"));
    /// # }
    /// # Ok(()) }
    /// # tokens().unwrap();
    /// ```
    ///
    /// An unknown key or a value of the wrong type is an error when the configuration is
    /// read; a key that its grant does not use is an error when the source is built. No
    /// error of this crate quotes a secret, but a parser's own error may show the faulty
    /// line, as `toml`'s does.
    pub struct SourceConfig {
        pub(super) grant: Option<String>,
        pub(super) preset: Option<String>,
        pub(super) impersonate: Option<String>,
        pub(super) authorization_server: Option<String>,
        pub(super) grant_type: Option<String>,
        pub(super) token_endpoint: Option<String>,
        pub(super) issuer: Option<String>,
        pub(super) allow_plain_http: Option<StringList>,
        pub(super) client_id: Option<String>,
        pub(super) client_auth: Option<String>,
        pub(super) client_secret: Option<Secret>,
        pub(super) client_secret_file: Option<PathBuf>,
        pub(super) client_assertion: Option<Secret>,
        pub(super) client_assertion_file: Option<PathBuf>,
        pub(super) private_key: Option<Secret>,
        pub(super) private_key_file: Option<PathBuf>,
        pub(super) key_id: Option<String>,
        pub(super) key_algorithm: Option<String>,
        pub(super) key_certificate_file: Option<PathBuf>,
        pub(super) assertion_audience: Option<String>,
        pub(super) assertion_issuer: Option<String>,
        pub(super) assertion_subject: Option<String>,
        pub(super) assertion_lifetime: Option<DurationValue>,
        pub(super) assertion_claims: Option<Table<Text>>,
        pub(super) assertion_headers: Option<Table<Text>>,
        pub(super) username: Option<String>,
        pub(super) password: Option<Secret>,
        pub(super) password_file: Option<PathBuf>,
        pub(super) refresh_token: Option<Secret>,
        pub(super) refresh_token_file: Option<PathBuf>,
        pub(super) rotated_token_file: Option<PathBuf>,
        pub(super) assertion: Option<Secret>,
        pub(super) assertion_file: Option<PathBuf>,
        pub(super) subject_token: Option<Secret>,
        pub(super) subject_token_file: Option<PathBuf>,
        pub(super) subject_token_type: Option<String>,
        pub(super) actor_token: Option<Secret>,
        pub(super) actor_token_file: Option<PathBuf>,
        pub(super) actor_token_type: Option<String>,
        pub(super) requested_token_type: Option<String>,
        pub(super) audience: Option<StringList>,
        pub(super) resource: Option<StringList>,
        pub(super) accept_token_type: Option<TokenTypes>,
        pub(super) scope: Option<StringList>,
        pub(super) params: Option<Table<Secret>>,
        pub(super) param_files: Option<Table<PathBuf>>,
        pub(super) logout_endpoint: Option<String>,
        pub(super) revocation_endpoint: Option<String>,
        /// Includes its private key.
        pub(super) client_certificate: Option<Secret>,
        pub(super) client_certificate_file: Option<PathBuf>,
        pub(super) client_key_file: Option<PathBuf>,
        pub(super) root_certificates: Option<Text>,
        pub(super) root_certificates_file: Option<PathBuf>,
        pub(super) keep_system_roots: Option<Flag>,
        pub(super) connect_timeout: Option<DurationValue>,
        /// May include a password.
        pub(super) proxy: Option<Secret>,
        pub(super) no_proxy: Option<Flag>,
        pub(super) http1_only: Option<Flag>,
        pub(super) http2_only: Option<Flag>,
        pub(super) timeout: Option<DurationValue>,
        pub(super) max_response: Option<Number<usize>>,
        pub(super) cache: Option<CacheConfig>,
    }
}

impl<'de> Deserialize<'de> for SourceConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keys::deserialize(KnownKeys(deserializer))
    }
}

/// Keys that a preset sets itself.
const NOT_FOR_PRESET: [&str; 20] = [
    "token_endpoint",
    "issuer",
    "allow_plain_http",
    "client_id",
    "client_auth",
    "client_secret",
    "client_secret_file",
    "client_assertion",
    "client_assertion_file",
    "private_key",
    "private_key_file",
    "key_id",
    "key_algorithm",
    "key_certificate_file",
    "assertion_audience",
    "assertion_lifetime",
    "assertion_headers",
    "assertion_issuer",
    "assertion_subject",
    "assertion_claims",
];

impl SourceConfig {
    /// Returns the keys that only some grants use, and whether they are set.
    fn grant_keys(&self) -> [(&'static str, bool); 18] {
        [
            ("impersonate", self.impersonate.is_some()),
            ("authorization_server", self.authorization_server.is_some()),
            ("grant_type", self.grant_type.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
            ("refresh_token", self.refresh_token.is_some()),
            ("refresh_token_file", self.refresh_token_file.is_some()),
            ("rotated_token_file", self.rotated_token_file.is_some()),
            ("assertion", self.assertion.is_some()),
            ("assertion_file", self.assertion_file.is_some()),
            ("subject_token", self.subject_token.is_some()),
            ("subject_token_file", self.subject_token_file.is_some()),
            ("subject_token_type", self.subject_token_type.is_some()),
            ("actor_token", self.actor_token.is_some()),
            ("actor_token_file", self.actor_token_file.is_some()),
            ("actor_token_type", self.actor_token_type.is_some()),
            ("requested_token_type", self.requested_token_type.is_some()),
        ]
    }

    /// Returns whether each key of [`NOT_FOR_PRESET`] is set.
    fn common_keys(&self) -> [bool; NOT_FOR_PRESET.len()] {
        [
            self.token_endpoint.is_some(),
            self.issuer.is_some(),
            self.allow_plain_http.is_some(),
            self.client_id.is_some(),
            self.client_auth.is_some(),
            self.client_secret.is_some(),
            self.client_secret_file.is_some(),
            self.client_assertion.is_some(),
            self.client_assertion_file.is_some(),
            self.private_key.is_some(),
            self.private_key_file.is_some(),
            self.key_id.is_some(),
            self.key_algorithm.is_some(),
            self.key_certificate_file.is_some(),
            self.assertion_audience.is_some(),
            self.assertion_lifetime.is_some(),
            self.assertion_headers.is_some(),
            self.assertion_issuer.is_some(),
            self.assertion_subject.is_some(),
            self.assertion_claims.is_some(),
        ]
    }

    /// Refuses the keys that this grant or preset does not use.
    pub(super) fn check_params_of(&self, grant: &str, used: &[&str]) -> Result<(), ConfigError> {
        let is_unused = |(name, is_set): &(&'static str, bool)| *is_set && !used.contains(name);
        let common = NOT_FOR_PRESET.into_iter().zip(self.common_keys());
        let mut common = common.filter(|(_, is_set)| *is_set && self.preset.is_some());
        match self
            .grant_keys()
            .into_iter()
            .find(is_unused)
            .or_else(|| common.next())
        {
            None => Ok(()),
            Some((name, _)) => {
                let kind = if self.preset.is_some() {
                    "preset"
                } else {
                    "grant"
                };
                let reason = format!("is not used by the {kind} `{grant}`");
                Err(ConfigError::new(name, reason))
            }
        }
    }
}

impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceConfig")
            .field("grant", &self.grant)
            .field("preset", &self.preset)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("client_auth", &self.client_auth)
            .finish_non_exhaustive()
    }
}
