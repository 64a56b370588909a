//! The cache: one fetch for all callers, renewal before expiry, and memory of
//! failures.

mod background;
mod builder;
mod clock;
mod codec;
mod credentials;
mod current;
#[cfg(all(test, tower_bearer_loom))]
mod current_loom;
mod exclusive;
#[cfg(all(test, tower_bearer_loom))]
mod explore_loom;
mod failures;
mod fetch;
mod fetch_task;
mod fleet;
mod fleet_alone;
mod fleet_failures;
mod fleet_lease;
mod fleet_store;
#[cfg(feature = "accounts")]
mod hot;
mod in_flight;
mod login;
mod parked;
#[cfg_attr(
    not(feature = "accounts"),
    allow(dead_code, reason = "permits are shared by many accounts")
)]
mod permits;
#[cfg_attr(
    not(feature = "accounts"),
    allow(dead_code, reason = "permits are shared by many accounts")
)]
mod permitted_call;
mod refresh_token;
pub(crate) mod registry;
mod rejections;
#[cfg(all(test, tower_bearer_loom))]
mod rejections_loom;
mod reread;
mod schedule;
mod session;
mod settings;
mod shared;
mod single_flight;
#[cfg(all(test, tower_bearer_loom))]
mod single_flight_loom;
mod source_call;
mod state;
mod status;
mod token_cache;
mod turn;
#[cfg(any(feature = "accounts", all(test, tower_bearer_loom)))]
mod version;
#[cfg(all(test, tower_bearer_loom))]
mod version_loom;
mod wait;

#[cfg(feature = "accounts")]
pub(crate) use builder::Template;
pub use builder::TokenCacheBuilder;
pub(crate) use current::{CachedToken, Carried, TokenReader};
pub(crate) use exclusive::InUse;
pub use exclusive::Renewal;
pub(crate) use fetch::Next;
#[cfg(feature = "accounts")]
pub(crate) use hot::HotToken;
#[cfg(feature = "accounts")]
pub(crate) use permits::Permits;
#[cfg(feature = "accounts")]
pub(crate) use settings::LONGEST;
#[cfg(feature = "config")]
pub(crate) use settings::{Setting, Settings};
pub(crate) use shared::Shared;
#[cfg(feature = "accounts")]
pub(crate) use shared::no_runtime;
pub(crate) use state::{Rejection, Requirements};
pub use status::{Status, StatusWatch};
pub use token_cache::TokenCache;
pub(crate) use wait::{Token, WaitForToken};
