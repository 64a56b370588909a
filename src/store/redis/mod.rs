//! A store in Redis. The guide is in [`store`](crate::store).

mod builder;
mod changes;
mod fault;
mod keys;
mod link;
mod place;
mod redis_store;
mod scripts;
mod seal;
mod store_key;
mod target;
mod tls;

pub use builder::RedisStoreBuilder;
pub use redis_store::RedisStore;
pub use store_key::StoreKey;
