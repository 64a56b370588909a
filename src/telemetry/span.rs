//! What takes time: a fetch, a caller's wait for it, and a cache's life.

use std::future::Future;
use std::sync::Arc;

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

/// A caller's wait for a token. It begins when the caller is parked, and ends when it
/// is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    #[cfg(feature = "tracing")]
    _span: tracing::Span,
    #[cfg(feature = "metrics")]
    _timer: super::metrics::WaitTimer,
}

impl Wait {
    /// Begins a wait in the cache with this label.
    pub(crate) fn begin(label: &Arc<str>) -> Self {
        let _ = label;
        Self {
            #[cfg(feature = "tracing")]
            _span: super::tracing::wait_span(label),
            #[cfg(feature = "metrics")]
            _timer: super::metrics::WaitTimer::start(label),
        }
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
