//! A store in files, for the processes of one machine. Documented in the parent
//! module.

mod builder;
mod clocks;
mod error;
mod file_store;
mod files;
mod folder;
mod image;
mod key_source;
mod leases;
mod names;
mod place;

pub use builder::FileStoreBuilder;
pub use file_store::FileStore;
