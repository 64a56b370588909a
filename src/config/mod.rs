//! A source of tokens from a file or from the environment. Needs the feature
//! `config`.
//!
//! [`SourceConfig`] is read by whatever reads it with serde, TOML, YAML or JSON,
//! and from the environment by [`SourceConfig::from_env`]:
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
//! wait = "20s"
//! ```
//!
//! | `grant` | its own members (those in bold have to be there) |
//! |---|---|
//! | `voipex` | **`username`**, **`password`**; no endpoint and no client |
//! | `password` | **`username`**, **`password`** |
//! | `client_credentials` | |
//! | `refresh_token` | **`refresh_token`**, `rotated_token_file` |
//! | `jwt_bearer` | **`assertion_file`** |
//! | `token_exchange` | **`subject_token_file`**, `subject_token_type`, `actor_token_file` and `actor_token_type`, `requested_token_type`, `audience`, `resource` |
//! | a URI | the grant of that name, which has its own under `members` |
//!
//! | members of all grants | |
//! |---|---|
//! | `token_endpoint` or `issuer` | where to ask: one of them has to be there |
//! | `client_id` | has to be there for `password`, `client_credentials` and `refresh_token` |
//! | `client_auth` | `none`, `basic`, `form`, `private_key_jwt`, `assertion` or `tls`; without it, what follows from the next ones: `basic`, `private_key_jwt`, `assertion`, or else `none` |
//! | `client_secret` | for `basic` and `form` |
//! | `private_key`, `key_id`, `assertion_audience` | for `private_key_jwt`: PEM, and what it says |
//! | `client_assertion_file` | for `assertion` |
//! | `scope` | a text with spaces, or a list |
//! | `members` | a table of what else the form has |
//! | `logout_endpoint` or `revocation_endpoint` | where a session is ended |
//! | `client_certificate_file`, `root_certificates_file` | for `tls`, and an authority of one's own: PEM for the [default transport](crate::transport::DefaultTransport::client_certificate) |
//! | `timeout`, `max_response` | as in [`Grant`](crate::grant::Grant) |
//! | `cache` | a table with settings of [`TokenCacheBuilder`](crate::TokenCacheBuilder): `wait`, `source_timeout`, `due_jitter`, `due_without_lifetime`, `retry_after_max`, and the pairs `due_fraction` and `due_max`, `expired_fraction` and `expired_max`, `backoff_first` and `backoff_max`, `refused_backoff_first` and `refused_backoff_max`, `forced_backoff_first` and `forced_backoff_max` |
//!
//! In place of `client_secret`, `password`, `private_key` and `refresh_token`
//! there may be `client_secret_file` and so on: a file as containers mount them,
//! read once, without the line ends at its end. The assertions and tokens for
//! which there is only a `_file` are read for each token request, for what is in them does not
//! live long.
//!
//! `rotated_token_file` is where a refresh token that the server rotated is
//! kept. If there is one it goes before the `refresh_token`, so delete it when
//! you bring a new one.
//!
//! A time is a number of seconds, or a text with a unit: `500ms`, `10s`, `5m`,
//! `1h`.

mod cache;
mod client;
mod env;
mod members;
mod rotated;
mod source;
mod values;

pub use members::SourceConfig;
pub use source::ConfiguredSource;
