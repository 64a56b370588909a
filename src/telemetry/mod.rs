//! Events and spans for `tracing`, and metrics for the `metrics` facade, each with
//! its own feature. They never contain a secret, and a request that has its token
//! emits none.
//!
//! Names and fields are public: changing them is a breaking change.

#[cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(dead_code, reason = "each feature reads a part of it")
)]
mod event;
#[cfg(feature = "metrics")]
mod metrics;
mod span;
#[cfg(feature = "tracing")]
mod tracing;

pub(crate) use event::{Event, FetchSummary, FetchedBy, Reason, Replay};
pub(crate) use span::{CacheGauges, WaitSpan, in_span};

/// Emits an event of the cache with this label.
pub(crate) fn emit(label: &str, event: &Event<'_>) {
    #[cfg(feature = "tracing")]
    tracing::emit(label, event);
    #[cfg(feature = "metrics")]
    metrics::emit(label, event);
    let _ = (label, event);
}

/// Emits that a request was sent without a token, because its origin is not one of
/// the layer's.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables, reason = "no log"))]
pub(crate) fn origin_not_listed(origin: impl FnOnce() -> String) {
    #[cfg(feature = "tracing")]
    tracing::origin_not_listed(origin);
}
