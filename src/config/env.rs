//! A configuration from the environment.

use std::fmt;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::client::MISSING;
use super::source_config::SourceConfig;
use crate::error::ConfigError;
use crate::secret_file;

/// Keys that are tables.
const TABLES: [&str; 5] = [
    "assertion_claims",
    "assertion_headers",
    "cache",
    "param_files",
    "params",
];

/// The table whose keys this crate defines. Those of the others are the server's.
const CACHE: &str = "cache";

impl SourceConfig {
    /// Reads the variables whose names begin with `prefix`, in any letter case; the
    /// rest of the name is a key of the configuration. Two underscores separate a
    /// table from a key in it; the name of a parameter, a claim or a header keeps its
    /// letter case if it has a lower-case letter (`AUTH_PARAMS__loginHint`) and
    /// otherwise becomes lower-case. An empty variable counts as not set. A byte order
    /// mark at the start of a value and line ends and blanks at its end are dropped;
    /// a secret that ends in a blank has to be set in the program.
    ///
    /// ```
    /// # fn config() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::config::SourceConfig;
    ///
    /// let variables = [
    ///     ("CALLS_AUTH_PRESET", "voipex"),
    ///     ("CALLS_AUTH_USERNAME", "your@email.com"),
    ///     ("CALLS_AUTH_PASSWORD_FILE", "/run/secrets/calls"),
    ///     ("CALLS_AUTH_CACHE__WAIT_TIMEOUT", "20s"),
    ///     ("CALLS_PORT", "8080"),
    /// ];
    /// let config = SourceConfig::from_vars("CALLS_AUTH_", variables)?;
    ///
    /// let typo = [("CALLS_AUTH_PRESET", "voipex"), ("CALLS_AUTH_USER", "me")];
    /// let error = SourceConfig::from_vars("CALLS_AUTH_", typo).unwrap_err();
    /// assert!(error.to_string().contains("unknown field `user`"));
    /// # let _ = config; Ok(()) }
    /// # config().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if a variable with this prefix is not a known key, holds only blanks,
    /// or has a value of the wrong type. The error names the variable and quotes no
    /// value.
    pub fn from_vars<N, V>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError>
    where
        N: AsRef<str>,
        V: Into<String>,
    {
        let mut config = Map::new();
        for (variable, value) in variables {
            let variable = variable.as_ref();
            let start = variable.get(..prefix.len());
            if !start.is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                continue;
            }
            let value = Zeroizing::new(value.into());
            if value.is_empty() {
                continue;
            }
            let name = variable[prefix.len()..].to_ascii_lowercase();
            let value = secret_file::trim(&value);
            if value.is_empty() {
                return Err(refused(format!("`{variable}` holds nothing but blanks")));
            }
            if let Some(error) = misfit(&name, value) {
                return Err(refused(format!("`{variable}`: {error}")));
            }
            match name.split_once("__") {
                // Replaces serde's own message, which quotes the value.
                None if TABLES.contains(&name.as_str()) => {
                    let what = format!("`{name}` is a table: set its keys as `{name}__…`");
                    return Err(refused(what));
                }
                None => drop(config.insert(name, value.into())),
                Some((table, name)) => {
                    let written = &variable[variable.len() - name.len()..];
                    let has_lower_case = written.contains(|c: char| c.is_ascii_lowercase());
                    let name = match table != CACHE && has_lower_case {
                        true => written,
                        false => name,
                    };
                    let table = config.entry(table);
                    let table = table.or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(table) = table {
                        table.insert(name.to_owned(), value.into());
                    }
                }
            }
        }
        let mut config: Self = serde_json::from_value(Value::Object(config)).map_err(refused)?;
        config.variables = Some(prefix.to_owned());
        Ok(config)
    }

    /// Reads the environment of this process, as [`from_vars`](Self::from_vars)
    /// does.
    ///
    /// # Errors
    ///
    /// Fails as `from_vars` does.
    pub fn from_env(prefix: &str) -> Result<Self, ConfigError> {
        // A name that is not Unicode is not a key. A value that is not is kept,
        // lossily, so that the key does not count as missing.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self::from_vars(prefix, variables)
    }
}

impl SourceConfig {
    /// Adds the name of the variable to the error for a key that is missing.
    pub(super) fn named_variable(&self, error: ConfigError) -> ConfigError {
        let (Some(prefix), true) = (&self.variables, error.reason().starts_with(MISSING)) else {
            return error;
        };
        let variable = format!("{prefix}{}", error.field()).to_ascii_uppercase();
        let reason = format!("{} (`{variable}` in the environment)", error.reason());
        ConfigError::new(error.field(), reason)
    }
}

/// Returns the error for a value that its key cannot have: serde's own does not name
/// the key.
fn misfit(name: &str, value: &str) -> Option<serde_json::Error> {
    let value = match name.split_once("__") {
        None if TABLES.contains(&name) => return None,
        None => json!({ "grant": "", name: value }),
        Some((table, name)) => json!({ "grant": "", table: { name: value } }),
    };
    serde_json::from_value::<SourceConfig>(value).err()
}

fn refused(error: impl fmt::Display) -> ConfigError {
    ConfigError::new("environment", error.to_string())
}
