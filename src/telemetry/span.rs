//! What takes time: a fetch, a caller's wait for it, and a cache's life.

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

/// A caller's wait for a token, from when the caller is parked on.
#[derive(Debug)]
pub(crate) struct Wait {
    /// Only if it is recorded: a caller that waits is small.
    #[cfg(feature = "tracing")]
    _span: Option<Box<tracing::Span>>,
}

impl Wait {
    /// Begins a wait in the cache with this label.
    pub(crate) fn begin(label: &str) -> Self {
        #[cfg(feature = "metrics")]
        super::metrics::wait_began(label);
        #[cfg(not(any(feature = "metrics", feature = "tracing")))]
        let _ = label;
        Self {
            #[cfg(feature = "tracing")]
            _span: Some(super::tracing::wait_span(label))
                .filter(|span| !span.is_disabled())
                .map(Box::new),
        }
    }

    /// Ends it, after so long.
    pub(crate) fn end(self, label: &str, took: Duration) {
        let _ = (label, took);
        #[cfg(feature = "metrics")]
        super::metrics::wait_ended(label, took);
    }
}

/// What a cache shows as long as it is there.
#[derive(Debug)]
pub(crate) struct CacheGauges {
    #[cfg(feature = "metrics")]
    _gauges: super::metrics::CacheGauges,
}

impl CacheGauges {
    /// Begins the gauges of a cache with this label.
    pub(crate) fn begin(label: &Arc<str>) -> Self {
        let _ = label;
        Self {
            #[cfg(feature = "metrics")]
            _gauges: super::metrics::CacheGauges::begin(label),
        }
    }
}
