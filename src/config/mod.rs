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
//! | `grant` | its own params (those in bold have to be there) |
//! |---|---|
//! | `voipex` | **`username`**, **`password`**; no endpoint and no client |
//! | `password` | **`username`**, **`password`** |
//! | `client_credentials` | |
//! | `refresh_token` | **`refresh_token`**, `rotated_token_file` |
//! | `jwt_bearer` | **`assertion_file`** |
//! | `token_exchange` | **`subject_token_file`**, `subject_token_type`, `actor_token_file` and `actor_token_type`, `requested_token_type`, `audience`, `resource` |
//! | a URI | the grant of that name, which has its own under `params` |
//!
//! | params of all grants | |
//! |---|---|
//! | `token_endpoint` or `issuer` | where to ask: one of them has to be there |
//! | `client_id` | has to be there for `password`, `client_credentials` and `refresh_token` |
//! | `client_auth` | `none`, `basic`, `form`, `private_key_jwt`, `assertion` or `tls`; without it, what follows from the next ones: `basic`, `private_key_jwt`, `assertion`, or else `none` |
//! | `client_secret` | for `basic` and `form` |
//! | `private_key`, `key_id`, `assertion_audience` | for `private_key_jwt`: PEM, and what it says |
//! | `client_assertion_file` | for `assertion` |
//! | `scope` | a text with spaces, or a list |
//! | `params` | a table of what else the form has |
//! | `logout_endpoint` or `revocation_endpoint` | where a session is ended |
//! | `client_certificate_file`, `root_certificates_file` | for `tls`, and an authority of one's own: PEM for the [default transport](crate::transport::DefaultTransport::client_certificate) |
//! | `timeout`, `max_response` | as in [`Grant`](crate::grant::Grant) |
//! | `cache` | a table with settings of [`TokenCacheBuilder`](crate::TokenCacheBuilder): `wait`, `source_timeout`, `renew_jitter`, `renew_unknown_lifetime_after`, `max_retry_after`, and the pairs `renew_before_fraction` and `renew_before_max`, `expiry_margin_fraction` and `expiry_margin_max`, `backoff_first` and `backoff_max`, `refusal_backoff_first` and `refusal_backoff_max`, `rejection_backoff_first` and `rejection_backoff_max` |
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
mod rotated_token;
mod source;
mod source_config;
mod values;

pub use source::ConfiguredSource;
pub use source_config::SourceConfig;
