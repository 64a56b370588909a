//! Many accounts in one process.
//!
//! [`Accounts`] holds a [`TokenCache`](crate::TokenCache) for each key: a tenant,
//! a customer, a phone number. A cache is created when it is first needed, fetches
//! its tokens independently of all others, and is evicted when it was not used for
//! a while or when there are too many. [`AccountsLayer`] finds the account of each
//! request and then treats the request as
//! [`BearerAuthLayer`](crate::BearerAuthLayer) does.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use std::sync::Arc;
//!
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt};
//! use tower_bearer::testing::TokenServer;
//! use tower_bearer::{Accounts, AccountsLayer, BoxError, Origins};
//!
//! /// The key: an extension of each request.
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Tenant(String);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let server = TokenServer::builder()
//!     .user("anna", "secret of anna")
//!     .user("bert", "secret of bert")
//!     .in_process();
//! let server = Arc::new(server);
//! let grants = server.clone();
//! let accounts = Accounts::new(move |Tenant(name): Tenant| {
//!     let grants = grants.clone();
//!     async move {
//!         // Read the password from a secret store here; it may be slow, or fail.
//!         let password = format!("secret of {name}");
//!         Ok::<_, BoxError>(grants.grant_for(name, password))
//!     }
//! });
//! let origins = Origins::only([server.api_url()])?;
//! let api = AccountsLayer::new(accounts.clone(), origins).layer(server.service());
//!
//! for name in ["anna", "bert", "anna"] {
//!     let request = Request::get("http://localhost/calls")
//!         .extension(Tenant(name.to_owned()))
//!         .body(Full::<Bytes>::default())?;
//!     assert!(api.clone().oneshot(request).await?.status().is_success());
//! }
//! assert_eq!(accounts.len(), 2);
//! assert_eq!(server.token_requests(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Account by URL or header
//!
//! [`account_by`](AccountsLayer::account_by) takes a closure that reads the account
//! from a [`RequestHead`]: the method, URL, headers and extensions of a request of
//! any type. One such layer serves `http::Request` with any body, and
//! `reqwest::Request`:
//!
#![cfg_attr(all(feature = "testing", feature = "reqwest"), doc = "```")]
#![cfg_attr(not(all(feature = "testing", feature = "reqwest")), doc = "```ignore")]
//! # use std::sync::Arc;
//! use tower::{Layer, ServiceExt};
//! # use tower_bearer::testing::TokenServer;
//! use tower_bearer::{Accounts, AccountsLayer, BoxError, Origins};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = TokenServer::builder().user("anna", "secret").user("bert", "secret");
//! # let server = Arc::new(server.start().await?);
//! # let grants = server.clone();
//! # let accounts = Accounts::new(move |name: String| {
//! #     let grant = grants.grant_for(name, "secret");
//! #     async { Ok::<_, BoxError>(grant) }
//! # });
//! # let origins = Origins::only([server.api_url()])?;
//! let layer = AccountsLayer::new(accounts.clone(), origins).account_by(|request| {
//!     let tenant = request.headers().get("x-tenant")?.to_str().ok()?;
//!     Some(tenant.to_owned())
//! });
//! let client = reqwest::Client::new();
//! let api = layer.layer(client.clone());
//!
//! # let url = format!("{}/calls", server.api_url());
//! for tenant in ["anna", "bert", "anna"] {
//!     let request = client.get(&url).header("x-tenant", tenant).build()?;
//!     assert!(api.clone().oneshot(request).await?.status().is_success());
//! }
//! assert_eq!(accounts.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Plain reqwest, one layer for each account
//!
//! A `reqwest::Request` has no extensions. If neither its URL nor a header names
//! the account, create a [`BearerAuthLayer`](crate::BearerAuthLayer) from the
//! account's cache. All of them can share one client and its connections:
//!
#![cfg_attr(all(feature = "testing", feature = "reqwest"), doc = "```")]
#![cfg_attr(not(all(feature = "testing", feature = "reqwest")), doc = "```ignore")]
//! # use std::sync::Arc;
//! use tower::{Layer, ServiceExt};
//! # use tower_bearer::testing::TokenServer;
//! use tower_bearer::{Accounts, BearerAuthLayer, BoxError, Origins};
//!
//! struct Api {
//!     accounts: Accounts<String>,
//!     origins: Origins,
//!     client: reqwest::Client,
//!     url: String,
//! }
//!
//! impl Api {
//!     async fn calls(&self, tenant: &str) -> Result<reqwest::Response, BoxError> {
//!         // For each request, since this counts as a use of the account.
//!         let tokens = self.accounts.get_or_create(&tenant.to_owned())?;
//!         let layer = BearerAuthLayer::new(tokens, self.origins.clone());
//!         let request = self.client.get(&self.url).build()?;
//!         Ok(layer.layer(self.client.clone()).oneshot(request).await?)
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = TokenServer::builder().user("anna", "secret").user("bert", "secret");
//! # let server = Arc::new(server.start().await?);
//! # let grants = server.clone();
//! # let accounts = Accounts::new(move |name: String| {
//! #     let grant = grants.grant_for(name, "secret");
//! #     async { Ok::<_, BoxError>(grant) }
//! # });
//! # let origins = Origins::only([server.api_url()])?;
//! # let url = format!("{}/calls", server.api_url());
//! # let api = Api { accounts, origins, client: reqwest::Client::new(), url };
//! for tenant in ["anna", "bert", "anna"] {
//!     assert!(api.calls(tenant).await?.status().is_success());
//! }
//! # assert_eq!(server.token_requests(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # reqwest-middleware
//!
//! With the feature `reqwest-middleware` the layer is a middleware, and a request
//! names its account with `with_extension`:
//!
#![cfg_attr(all(feature = "testing", feature = "reqwest-middleware"), doc = "```")]
#![cfg_attr(
    not(all(feature = "testing", feature = "reqwest-middleware")),
    doc = "```ignore"
)]
//! # use std::sync::Arc;
//! use reqwest_middleware::ClientBuilder;
//! # use tower_bearer::testing::TokenServer;
//! use tower_bearer::{Accounts, AccountsLayer, BoxError, Origins};
//!
//! #[derive(Clone, PartialEq, Eq, Hash)]
//! struct Tenant(String);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! # let server = TokenServer::builder().user("anna", "secret").user("bert", "secret");
//! # let server = Arc::new(server.start().await?);
//! # let grants = server.clone();
//! # let accounts = Accounts::new(move |Tenant(name): Tenant| {
//! #     let grant = grants.grant_for(name, "secret");
//! #     async { Ok::<_, BoxError>(grant) }
//! # });
//! # let origins = Origins::only([server.api_url()])?;
//! let client = ClientBuilder::new(reqwest::Client::new())
//!     .with(AccountsLayer::new(accounts, origins))
//!     .build();
//!
//! # let url = format!("{}/calls", server.api_url());
//! for name in ["anna", "bert", "anna"] {
//!     let tenant = Tenant(name.to_owned());
//!     let response = client.get(&url).with_extension(tenant).send().await?;
//!     assert!(response.status().is_success());
//! }
//! # assert_eq!(server.token_requests(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Isolation
//!
//! A token is reached only through its account, and an account only by comparing
//! its key with that of the request, not by a hash alone. A token source is made
//! from the key of its account and nothing else.
//!
//! # Eviction
//!
//! An account is not evicted while it is in use: during a fetch, while a request waits
//! or may be sent again, and as long as there is a [`TokenCache`](crate::TokenCache)
//! of it. Keys that never had a token never evict a key that had one. Refusals are
//! remembered in the process, and outlive an account.
//!
//! An evicted account is dropped from this process: the next request for its key
//! creates it again, and logs in. Requests in progress finish with the token they
//! have. The session at the server is left to expire, unless
//! [`revoke_evicted`](AccountsBuilder::revoke_evicted) is set. The time of the last
//! use is known to within about a second.

mod account;
#[allow(clippy::module_inception, reason = "named for the type that it holds")]
mod accounts;
mod builder;
mod find;
mod hot_tokens;
mod layer;
mod lazy_source;
mod lru;
mod maintenance;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
mod revocations;
mod service;
mod shard;
mod shared;

pub use accounts::Accounts;
pub use builder::AccountsBuilder;
#[cfg(feature = "reqwest-middleware")]
#[doc(hidden)]
pub use find::RequestWithExtensions;
pub use find::{ByExtension, ByFn, FindAccount, RequestHead};
pub use layer::AccountsLayer;
pub use service::AccountsBearerAuth;
