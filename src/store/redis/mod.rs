//! A store in Redis. The guide is in [`store`](crate::store).

mod address;
mod builder;
mod changes;
mod connection;
pub(super) mod error;
mod keys;
mod redis_store;
mod scripts;
mod target;
mod tls;

pub use builder::RedisStoreBuilder;
pub use redis_store::RedisStore;
