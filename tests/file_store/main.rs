//! The store in files. Its fleets are processes of this program.
#![cfg(unix)]

#[path = "../conformance/mod.rs"]
mod conformance;
mod contract;
mod faults;
mod fleet;
mod garbage;
#[cfg(feature = "keyring")]
mod keyring;
mod locks;
mod member;
mod place;
mod protection;
mod runs;
