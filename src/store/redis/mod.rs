//! A store in Redis. Its guide is part of the documentation of
//! [`store`](crate::store).

mod address;
mod builder;
mod changes;
mod connection;
mod error;
mod namesakes;
mod redis_store;
mod scripts;
mod target;

pub use builder::RedisStoreBuilder;
pub use redis_store::RedisStore;
