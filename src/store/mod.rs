//! Stores for tokens that the processes of a fleet share.
//!
//! A [`TokenCache`](crate::TokenCache) keeps its tokens to itself unless it is given
//! a [`TokenStore`]. With a store, the fleet makes as many token requests as one
//! process would: a process that needs a new token [acquires](TokenStore::acquire) a
//! lease and fetches, and the others wait for its result.
//!
//! Three rules keep that safe, even if a process crashes, stalls or responds late:
//!
//! - A lease hands over the refresh token, so the store no longer has it. No two
//!   processes ever send the same refresh token; if the holder of the lease crashes,
//!   the next one logs in.
//! - Each lease has its own generation, higher than any before. The holder's result
//!   replaces only entries with a lower generation.
//! - A lease expires. If its answer never reached the process, that process
//!   [withdraws](TokenStore::withdraw) the call, even one that is still on its way to
//!   the store, and the refresh token is kept.
//!
//! An account is its name and its [holder](Account::holder): token endpoint, client,
//! user, scope, audiences, resources and the grant's other parameters that are not
//! secret. Two caches that use one name by mistake share nothing, and both get a
//! [warning](StoreWarning).
//!
//! Failures are kept for each set of credentials, by a fingerprint of them. A
//! refusal in one process keeps all others from sending the same credentials until
//! its pause is over, and counts towards the next pause, whichever process makes the
//! next attempt. Processes with other credentials are not affected.
//!
//! [`MemoryStore`] serves several caches in one process, and is the reference for
//! other implementations. `FileStore` (feature `file-store`) serves the processes of
//! one machine, also one after the other, and `RedisStore` (feature `redis`) those
//! of many. The guide `fleets`, in the documentation with all features, explains
//! when to share tokens, what it costs and how it fails.
#![cfg_attr(all(feature = "file-store", unix), doc = "")]
#![cfg_attr(all(feature = "file-store", unix), doc = include_str!("file/guide.md"))]
#![cfg_attr(feature = "redis", doc = "")]
#![cfg_attr(feature = "redis", doc = include_str!("redis/guide.md"))]

mod account;
mod entries;
#[cfg(all(feature = "file-store", unix))]
mod file;
mod memory;
mod payload;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "seal")]
#[cfg_attr(
    not(all(feature = "redis", feature = "file-store", unix)),
    allow(dead_code, reason = "used by the stores that leave the process")
)]
mod seal;
#[cfg(feature = "seal")]
mod store_key;
mod token_store;
#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
mod warnings;
#[cfg(any(feature = "redis", all(feature = "file-store", unix)))]
mod watchers;

pub use account::{Account, StoreWarning};
#[cfg(all(feature = "file-store", unix))]
pub use file::{FileStore, FileStoreBuilder};
pub use memory::MemoryStore;
pub use payload::{Payload, Stored};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
#[cfg(feature = "seal")]
pub use store_key::StoreKey;
pub(crate) use token_store::DynTokenStore;
pub use token_store::{
    Acquire, Acquired, BoxTokenStore, Completion, Entry, FAILURE_MEMORY, FAILURES_KEPT, Lease,
    TokenStore, WITHDRAWAL_MEMORY,
};
