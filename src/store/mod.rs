//! Tokens that the processes of a fleet share.
//!
//! A [`TokenCache`](crate::TokenCache) keeps its tokens to itself unless it is
//! given a [`TokenStore`]. With one, the fleet fetches as one process would:
//! whoever needs a new token [claims](TokenStore::acquire) a lease and fetches,
//! everybody else waits for what comes of it.
//!
//! Three rules keep that safe, whoever dies, stands still or comes late:
//!
//! - A lease hands over the refresh token, so the store no longer has it. No
//!   refresh token is ever sent by two processes; if its holder dies, the next
//!   one logs in.
//! - Each lease has a generation of its own, higher than all before. What its
//!   holder brings is written only over what is older.
//! - A lease ends by itself.
//!
//! [`MemoryStore`] is the store of several caches in one process, and shows what
//! is asked of others. `RedisStore`, with the feature `redis`, is the one for many
//! processes. When to share and when not to, what it costs and how it fails: the
//! guide `fleets`, in the documentation of all features.
#![cfg_attr(feature = "redis", doc = "")]
#![cfg_attr(feature = "redis", doc = include_str!("redis/guide.md"))]

mod memory;
mod payload;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod seal;
#[cfg(feature = "redis")]
mod store_key;
mod token_store;

pub use memory::MemoryStore;
pub use payload::Payload;
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "redis")]
pub use store_key::StoreKey;
pub(crate) use token_store::DynTokenStore;
pub use token_store::{Acquire, Acquired, Completion, Entry, Lease, TokenStore};
