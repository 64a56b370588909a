//! Spans and gauges of what takes time: a fetch, a caller's wait for it, and a
//! cache's life.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::event::Reason;

/// Runs a fetch in its own span.
pub(crate) fn in_span<F: Future>(
    label: &str,
    reason: Reason,
    fetch: F,
) -> impl Future<Output = F::Output> + use<F> {
    #[cfg(feature = "tracing")]
    let fetch = super::tracing::in_span(label, reason, fetch);
    let _ = (label, reason);
    fetch
}

/// The span of a caller's wait for a token, from when the caller is parked.
#[derive(Debug)]
pub(crate) struct WaitSpan {
    #[cfg(feature = "tracing")]
    _span: tracing::Span,
}

impl WaitSpan {
    /// Begins a wait in the cache with this label, if it is recorded.
    pub(crate) fn begin(label: &str) -> Option<Self> {
        let _ = label;
        #[cfg(feature = "tracing")]
        return Some(super::tracing::wait_span(label))
            .filter(|span| !span.is_disabled())
            .map(|_span| Self { _span });
        #[cfg(not(feature = "tracing"))]
        None
    }
}

/// The gauges of a cache, for as long as it exists.
#[derive(Debug)]
pub(crate) struct CacheGauges {
    #[cfg(feature = "metrics")]
    gauges: super::metrics::CacheGauges,
}

impl CacheGauges {
    /// Begins the gauges of a cache with this label.
    pub(crate) fn begin(label: &Arc<str>) -> Self {
        let _ = label;
        Self {
            #[cfg(feature = "metrics")]
            gauges: super::metrics::CacheGauges::begin(label),
        }
    }

    /// Counts one more caller that waits for a token.
    pub(crate) fn wait_began(&self) {
        #[cfg(feature = "metrics")]
        self.gauges.wait_began();
    }

    /// Counts this many waiting callers fewer.
    pub(crate) fn waits_ended(&self, callers: usize) {
        let _ = callers;
        #[cfg(feature = "metrics")]
        self.gauges.waits_ended(callers);
    }

    /// Records how long callers have waited.
    pub(crate) fn waited(&self, took: impl IntoIterator<Item = Duration>) {
        let _ = took;
        #[cfg(feature = "metrics")]
        self.gauges.waited(took);
    }
}
