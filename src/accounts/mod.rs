//! Many accounts in one process.
//!
//! [`Accounts`] has a [`TokenCache`](crate::TokenCache) for each key: a tenant,
//! a customer, a phone number. Each is made when it is first needed, has a flight
//! of its own and waits for no other; those that were used least recently, or not
//! for a while, are let go. [`AccountsLayer`] finds the account of each request
//! and treats it as [`BearerAuthLayer`](crate::BearerAuthLayer) does.
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
//! /// What a request is marked with.
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
//!         // Here a secret store may be asked, which takes its time, and may fail.
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
//! # What belongs to whom
//!
//! A token is found through its account only, and an account by comparing its
//! key with the request's, whatever hashes say. A source is made with the key of
//! its account and nothing else.
//!
//! # Letting go
//!
//! An account that is let go is forgotten by this process: the next request for
//! its key makes it anew, and logs in. Requests under way finish with what they
//! have. Its session at the server ends by itself, or is ended if
//! [`revoke_evicted`](AccountsBuilder::revoke_evicted) says so. When an account
//! was used is known to about a second.

#[allow(clippy::module_inception, reason = "named for the type that it holds")]
mod accounts;
mod builder;
mod find;
mod layer;
mod lazy_source;
mod lru;
mod maintenance;
#[cfg(feature = "reqwest-middleware")]
mod reqwest_middleware;
mod service;
mod shared;

pub use accounts::Accounts;
pub use builder::AccountsBuilder;
pub use find::{ByExtension, FindAccount};
pub use layer::AccountsLayer;
pub use service::AccountsBearerAuth;
