//! A configuration from the environment.

use std::fmt;

use serde_json::{Map, Value};

use super::source_config::SourceConfig;
use crate::error::ConfigError;

impl SourceConfig {
    /// Reads the variables that begin with this prefix, in any letter case; what
    /// follows is the name of a member. Two underscores lead into a table. A
    /// variable that is empty is not there.
    ///
    /// ```
    /// # fn config() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::config::SourceConfig;
    ///
    /// let variables = [
    ///     ("CALLS_AUTH_GRANT", "voipex"),
    ///     ("CALLS_AUTH_USERNAME", "your@email.com"),
    ///     ("CALLS_AUTH_PASSWORD_FILE", "/run/secrets/calls"),
    ///     ("CALLS_AUTH_CACHE__WAIT", "20s"),
    ///     ("CALLS_PORT", "8080"),
    /// ];
    /// let config = SourceConfig::from_vars("CALLS_AUTH_", variables)?;
    ///
    /// let typo = [("CALLS_AUTH_GRANT", "voipex"), ("CALLS_AUTH_USER", "me")];
    /// let error = SourceConfig::from_vars("CALLS_AUTH_", typo).unwrap_err();
    /// assert!(error.to_string().contains("unknown field `user`"));
    /// # let _ = config; Ok(()) }
    /// # config().unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// If a variable with this prefix is no member, or its value does not fit.
    /// The error quotes no value.
    pub fn from_vars<N, V>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError>
    where
        N: AsRef<str>,
        V: Into<String>,
    {
        let mut params = Map::new();
        for (name, value) in variables {
            let name = name.as_ref();
            let own = name.get(..prefix.len());
            if !own.is_some_and(|own| own.eq_ignore_ascii_case(prefix)) {
                continue;
            }
            let (name, value) = (name[prefix.len()..].to_ascii_lowercase(), value.into());
            if value.is_empty() {
                continue;
            }
            match name.split_once("__") {
                // What serde would say of it quotes the value.
                None if ["cache", "params"].contains(&name.as_str()) => {
                    let what = format!("`{name}` is a table: `{name}__…` is a member of it");
                    return Err(refused(what));
                }
                None => drop(params.insert(name, value.into())),
                Some((table, name)) => {
                    let table = params.entry(table);
                    let table = table.or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(table) = table {
                        table.insert(name.to_owned(), value.into());
                    }
                }
            }
        }
        serde_json::from_value(Value::Object(params)).map_err(refused)
    }

    /// [`from_vars`](Self::from_vars) with the environment of this process.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_env(prefix: &str) -> Result<Self, ConfigError> {
        // One that is not Unicode is no member, unless it is meant to be.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Self::from_vars(prefix, variables)
    }
}

fn refused(error: impl fmt::Display) -> ConfigError {
    ConfigError::new("environment", error.to_string())
}
