//! A caller's wait for a token.

/// Begun when a caller parks, ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    #[cfg(feature = "tracing")]
    _span: tracing::Span,
    #[cfg(feature = "metrics")]
    _waiting: super::metrics::Waiting,
}

impl Wait {
    pub(crate) fn begin(label: &std::sync::Arc<str>) -> Self {
        let _ = label;
        Self {
            #[cfg(feature = "tracing")]
            _span: super::tracing::wait(label),
            #[cfg(feature = "metrics")]
            _waiting: super::metrics::Waiting::begin(label),
        }
    }
}
