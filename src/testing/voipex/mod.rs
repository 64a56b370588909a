//! What VoIPex has beside Keycloak: its exchange, and its APIs.

pub(super) mod api;
mod challenge;
pub(super) mod exchange;
mod hapi;
mod settings;

pub use challenge::Challenge;
