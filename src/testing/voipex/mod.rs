//! What VoIPex has in addition to Keycloak: its exchange, and its APIs.

pub(super) mod api;
pub(super) mod exchange;
mod settings;
