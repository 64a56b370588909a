//! What happens inside, told to whoever wants to see it: `tracing` and the
//! `metrics` facade, each behind its feature. Never a secret, and nothing on the
//! way of a request that has its token.
//!
//! Names and fields are public, and changing them is a breaking change.

#[cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(dead_code, reason = "not everybody listens")
)]
mod event;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;
mod wait;

use std::future::Future;

pub(crate) use event::{Event, FetchSummary, FetchedBy, Reason, Replay};
pub(crate) use wait::Wait;

/// Tells of an event of the account with this label.
pub(crate) fn emit(label: &str, event: &Event<'_>) {
    #[cfg(feature = "tracing")]
    tracing::emit(label, event);
    #[cfg(feature = "metrics")]
    metrics::emit(label, event);
    let _ = (label, event);
}

/// The work of a flight, in a span of its own.
pub(crate) fn in_span<F: Future>(
    label: &str,
    reason: Reason,
    flight: F,
) -> impl Future<Output = F::Output> + use<F> {
    #[cfg(feature = "tracing")]
    let flight = tracing::in_span(label, reason, flight);
    let _ = (label, reason);
    flight
}
