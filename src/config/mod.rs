//! A source of tokens from a file or from the environment. Needs the feature
//! `config`.
//!
//! [`SourceConfig`] can be deserialized by any serde format (TOML, YAML, JSON),
//! and read from the environment by [`SourceConfig::from_env`]. A file
//! `auth.toml`:
//!
//! ```toml
//! grant = "client_credentials"
//! issuer = "https://id.example.com/realms/calls"
//! client_id = "billing"
//! client_secret_file = "/run/secrets/billing"
//! scope = "invoices"
//! timeout = "5s"
//!
//! [cache]
//! wait_timeout = "20s"
//! ```
//!
//! and the program that reads it:
//!
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! use tower_bearer::config::SourceConfig;
//! # // A stand-in: the guide `configuration` is tested with the real one.
//! # mod toml {
//! #     pub use serde_json::from_str;
//! # }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config: SourceConfig = toml::from_str(&std::fs::read_to_string("auth.toml")?)?;
//! let tokens = config.token_cache()?;
//! println!("{:?}", tokens.token().await?);
//! # Ok(()) }
//! ```
//!
//! The same from the environment, where `AUTH_GRANT=client_credentials`,
//! `AUTH_CACHE__WAIT_TIMEOUT=20s` and so on are set:
//!
#![cfg_attr(feature = "reqwest", doc = "```no_run")]
#![cfg_attr(not(feature = "reqwest"), doc = "```ignore")]
//! # use tower_bearer::config::SourceConfig;
//! let tokens = SourceConfig::from_env("AUTH_")?.token_cache()?;
//! # Ok::<_, tower_bearer::ConfigError>(())
//! ```
//!
//! # Keys
//!
//! | `grant` | keys that only this grant uses (those in bold are required) |
//! |---|---|
//! | `password` | **`username`**, **`password`** |
//! | `client_credentials` | |
//! | `refresh_token` | **`refresh_token`**, `rotated_token_file` |
//! | `jwt_bearer` | **`assertion_file`** |
//! | `token_exchange` | **`subject_token_file`**, `subject_token_type`, `actor_token_file` and `actor_token_type`, `requested_token_type`, `audience`, `resource` |
//! | a URI | the [extension grant](crate::grant::ExtensionGrant) of this name; its parameters go under `params` |
//!
//! In place of a grant, `preset = "voipex"` sets VoIPex's endpoint and client; it needs
//! **`username`** and **`password`**. With `impersonate`, a user's login, the tokens are
//! those of a [`VoipexImpersonation`](crate::VoipexImpersonation): `username` and
//! `password` are those of the API access, whose own token has a cache inside the source,
//! with the settings under `cache`. A `scope` and `params` are for the login alone.
//!
//! | keys of all grants | |
//! |---|---|
//! | `token_endpoint` or `issuer` | the URL of the token endpoint, or the issuer that names it; one is required |
//! | `client_id` | required by `password`, `client_credentials` and `refresh_token` |
//! | `client_auth` | `none`, `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `client_assertion` or `tls_client_auth`; the default follows from the keys below: `client_secret_basic`, `private_key_jwt`, `client_assertion`, or else `none` |
//! | `client_secret` | for `client_secret_basic` and `client_secret_post` |
//! | `private_key`, `key_id`, `assertion_audience` | for `private_key_jwt`: the key in PEM, its `kid`, and the `aud` of the assertion |
//! | `client_assertion_file` | for `client_assertion` |
//! | `scope` | a string of scopes separated by spaces, or a list |
//! | `params` | a table of further parameters of the token request |
//! | `logout_endpoint` or `revocation_endpoint` | the URL where a session is ended |
//! | `client_certificate_file`, `root_certificates_file` | PEM files for the [default transport](crate::transport::DefaultTransport): the certificate for `tls_client_auth`, and the authorities to trust in place of the system's |
//! | `timeout`, `max_response` | as in [`Grant`](crate::grant::Grant) |
//! | `cache` | a table of settings, named as the methods of [`TokenCacheBuilder`](crate::TokenCacheBuilder): `wait_timeout`, `source_timeout`, `revoke_timeout`, `store_timeout`, `lease_duration`, `renew_jitter`, `renew_unknown_lifetime_after`, `max_retry_after`, `label`, and the pairs `renew_before_fraction` and `renew_before_max`, `expiry_margin_fraction` and `expiry_margin_max`, `backoff_first` and `backoff_max`, `refusal_backoff_first` and `refusal_backoff_max`, `rejection_backoff_first` and `rejection_backoff_max` |
//!
//! In place of `client_secret`, `password`, `private_key` and `refresh_token`,
//! set `client_secret_file` and so on to name a file, as containers mount them.
//! It is read once, when the source is built; line ends at its end are dropped.
//! Assertions and tokens for which there is only a `_file` key are short-lived:
//! their file is read again for each token request.
//!
//! A refresh token that the server rotated is written to `rotated_token_file`.
//! If that file exists, its token is used in place of `refresh_token`, so delete
//! it when you set a new one.
//!
//! A duration is a number of seconds, or a string with a unit: `500ms`, `10s`,
//! `5m`, `1h`.

mod cache_config;
mod client;
mod env;
mod preset;
mod rotated_token;
mod source;
mod source_config;
mod token_cache;
mod values;

pub use source_config::SourceConfig;
