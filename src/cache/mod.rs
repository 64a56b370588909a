//! The cache: one flight for all callers, renewal in time, and what a failure
//! means for those who come later.

mod acquire;
mod ask;
mod brought;
mod builder;
mod changes;
mod clock;
mod fetch;
mod fleet;
mod flight;
#[cfg(all(test, tower_bearer_loom))]
mod flight_loom;
mod flying;
mod forced;
mod gate;
mod keeper;
mod ledger;
mod membership;
mod record;
mod refresh;
pub(crate) mod registry;
mod revoke;
mod schedule;
mod sentry;
mod settings;
mod shared;
mod state;
#[cfg(all(test, tower_bearer_loom))]
mod state_loom;
mod status;
mod sync;
mod token_cache;
mod trouble;

pub(crate) use acquire::Acquire;
#[cfg(feature = "accounts")]
pub(crate) use builder::Template;
pub use builder::TokenCacheBuilder;
pub(crate) use fetch::Step;
#[cfg(feature = "accounts")]
pub(crate) use gate::Gate;
pub(crate) use ledger::{Rejection, Want};
pub(crate) use shared::Shared;
pub(crate) use state::{Live, Reader};
pub use status::{Status, StatusWatch};
pub use token_cache::TokenCache;
