//! Source of tokens from a file or from the environment. Needs the feature `config`.
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
//! The same from the environment, with `AUTH_GRANT=client_credentials`,
//! `AUTH_CACHE__WAIT_TIMEOUT=20s` and so on:
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
//! | `jwt_bearer` | **`assertion_file`** or `assertion`; or **`private_key`**, a key of all grants, which then signs the assertion, with the keys named there, of which **`assertion_issuer`** and **`assertion_audience`** are required |
//! | `token_exchange` | **`subject_token_file`** or `subject_token`, `subject_token_type`, `actor_token_file` or `actor_token` with `actor_token_type`, `requested_token_type` |
//! | a URI | the [extension grant](crate::grant::ExtensionGrant) of this name; its parameters go under `params` and `param_files` |
//! | `extension` | **`grant_type`**: the name of an extension grant that is not a URI |
//!
//! Instead of a grant, `preset = "voipex"` sets VoIPex's endpoint and client; it needs
//! **`username`** and **`password`**. With `impersonate`, a user's login, the tokens are
//! those of a [`VoipexImpersonation`](crate::VoipexImpersonation): `username` and
//! `password` are those of the API access, whose own token has a cache inside the source,
//! with the settings under `cache`. A `scope` and `params` are only for the login.
//! `authorization_server`, an origin, replaces VoIPex's, for example by a server for
//! tests.
//!
//! | keys of all grants | meaning |
//! |---|---|
//! | `token_endpoint` or `issuer` | the URL of the token endpoint, or the issuer that names it; one is required |
//! | `allow_plain_http` | a list of origins, `http://keycloak:8080` for example, whose endpoints may be [plain http](crate::allow_plain_http); a string separates them by spaces |
//! | `client_id` | required by `password`, `client_credentials` and `refresh_token` |
//! | `client_auth` | `none`, `client_secret_basic`, `client_secret_basic_unencoded`, `client_secret_post`, `private_key_jwt`, `client_assertion` or `tls_client_auth`; the default follows from the keys below: `client_secret_basic`, `private_key_jwt`, `client_assertion`, or else `none` |
//! | `client_secret` | for the methods whose names begin with it |
//! | `private_key`, `key_id`, `key_algorithm`, `key_certificate_file` | for `private_key_jwt`: the key in PEM, its `kid` and `alg`, and the certificate, in PEM, whose hashes are sent as `x5t` and `x5t#S256` |
//! | `assertion_audience`, `assertion_issuer`, `assertion_subject`, `assertion_lifetime`, `assertion_claims`, `assertion_headers` | the assertion that this key signs, as in [`SignedJwt`](crate::grant::SignedJwt); the last two are tables. If it signs both a grant's assertion and the client's, the client's has only the lifetime and the headers |
//! | `client_assertion_file` or `client_assertion` | for `client_assertion` |
//! | `scope`, `audience`, `resource` | as in [`Grant`](crate::grant::Grant): a string of words separated by spaces, or a list |
//! | `accept_token_type` | as in [`Grant`](crate::grant::Grant): a string that is one type (`Application Access Token`) or several separated by spaces, or a list |
//! | `params`, `param_files` | tables of further parameters of the token request: their values, and the files that hold them |
//! | `logout_endpoint` or `revocation_endpoint` | the URL where a session is ended |
//! | `client_certificate_file`, `client_key_file` | PEM files for `tls_client_auth`: the certificate, and its key if that is in a separate file; or both as PEM in `client_certificate` |
//! | `root_certificates_file`, `keep_system_roots` | a PEM file of the authorities to trust instead of the system's, or their PEM in `root_certificates`; `true` to trust the system's as well |
//! | `connect_timeout`, `proxy`, `no_proxy`, `http1_only`, `http2_only` | as in [`DefaultTransport`](crate::transport::DefaultTransport); the last three are `true` or `false` |
//! | `timeout`, `max_response` | as in [`Grant`](crate::grant::Grant) |
//! | `cache` | a table of settings, named after the methods of [`TokenCacheBuilder`](crate::TokenCacheBuilder): `wait_timeout`, `source_timeout`, `revoke_timeout`, `store_timeout`, `lease_duration`, `renew_jitter`, `renew_unknown_lifetime_after`, `max_retry_after`, `label`, `renewal` (`automatic` or `exclusive`), and the pairs `renew_before_fraction` and `renew_before_max`, `expiry_margin_fraction` and `expiry_margin_max`, and `…_first` and `…_max` of `backoff`, `refusal_backoff`, `client_refusal_backoff`, `deferred_backoff` and `rejection_backoff` |
//!
//! Instead of `client_secret`, `password`, `private_key` and `refresh_token`, set
//! `client_secret_file` and so on to name a file, such as a mounted secret. It is read
//! when the source is built, so that a missing or empty file is noticed at the start,
//! and again for each token request, so that it can be replaced while the program runs.
//! The same holds for certificates and authorities, except `key_certificate_file`, which
//! is read once. `refresh_token_file` is read only when the source is built, because
//! rotated tokens supersede it. Files of assertions and of tokens to exchange are read
//! only for each token request. Files are read on threads for blocking work.
//!
//! A byte order mark at the start and line ends and blanks at the end are dropped from
//! files and environment variables. A secret that ends in a blank has to be set in the
//! configuration itself.
//!
//! A refresh token that the server rotated is written to `rotated_token_file`. A token in
//! that file is used instead of `refresh_token`, so empty or delete the file when you set
//! a new one. It may be a link, which stays one, or a file that is mounted by itself; if
//! it can be written nowhere, for example because its folder is missing, no source is
//! built. At any moment the latest token is in it or in the file of the same name
//! followed by `.new`, from which it is read at the next start.
//!
//! A duration is a number of seconds, or a string of numbers with units, the longer
//! unit first: `500ms`, `1.5s`, `90s`, `1m30s`, `2h`, `7d`.

mod cache_config;
mod client;
mod env;
mod known_keys;
mod preset;
mod rotated_token;
mod source;
mod source_config;
mod token_cache;
mod transport;
mod values;

pub use source_config::SourceConfig;
