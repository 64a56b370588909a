//! What can go wrong on the way to a token, and in a configuration.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// Any error, boxed: what tower's own middleware speaks.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What kind of failure kept a caller from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenErrorKind {
    /// The token endpoint could not be reached, or the exchange broke off:
    /// name resolution, TCP, TLS, a connection cut in mid-answer. Transient.
    Connect,
    /// The token request did not finish within its timeout. Transient.
    Timeout,
    /// The token endpoint asked to come again later: 408, 425, 429, 5xx, or
    /// `temporarily_unavailable` (RFC 6749, section 4.1.2.1). Transient.
    Unavailable,
    /// The token endpoint refused the credentials or the client (RFC 6749,
    /// section 5.2), or answered another 4xx that carries no readable `error`.
    /// The refusal sticks: see [`TokenCache::reset`](crate::TokenCache::reset).
    Refused,
    /// The token endpoint's answer was not understood (RFC 6749, section 5.1).
    InvalidResponse,
    /// The token endpoint answered with a redirect that is not followed.
    UnexpectedRedirect,
    /// The access token had no life left when it arrived: its lifetime is zero
    /// or shorter than its request took. Transient.
    Expired,
    /// Something in the configuration makes a token request impossible.
    Config,
    /// The caller's own wait ended before the fetch did. The fetch goes on.
    /// Transient.
    WaitTimeout,
    /// The token source panicked.
    Panicked,
    /// A token was asked for outside a tokio runtime.
    NoRuntime,
    /// The store that a fleet shares could not be asked. Nobody who wants a
    /// token gets this; [`Status`](crate::Status) tells of it.
    Store,
    /// A token was asked for after
    /// [`TokenCache::shutdown`](crate::TokenCache::shutdown).
    ShutDown,
    /// A [`TokenSource`](crate::TokenSource) of the user's own failed.
    /// Transient.
    Source,
    /// The request names no account, and a layer for many accounts cannot say
    /// whose token it needs.
    NoAccount,
    /// The request's URI names no scheme and host, so nobody can say whether
    /// the token may go there.
    RelativeUri,
}

/// Why there is no token.
///
/// Cheap to clone: all callers that waited for one fetch get the same error.
/// It never holds a password, a token, a client secret or any part of an
/// answer's body.
#[derive(Clone)]
pub struct TokenError {
    inner: Arc<Inner>,
    retry_after: Option<Duration>,
}

struct Inner {
    kind: TokenErrorKind,
    what: Cow<'static, str>,
    status: Option<StatusCode>,
    code: Option<Box<str>>,
    source: Option<BoxError>,
}

impl TokenError {
    /// An error of the given kind; `what` says in words what was wrong and is
    /// shown to whoever reads the error, so it must hold no secret.
    pub fn new(kind: TokenErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                what: what.into(),
                status: None,
                code: None,
                source: None,
            }),
            retry_after: None,
        }
    }

    /// The error of a [`TokenSource`](crate::TokenSource) of one's own. A
    /// `TokenError` is passed through as it is, anything else becomes
    /// [`TokenErrorKind::Source`].
    pub fn from_source(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => {
                Self::new(TokenErrorKind::Source, "the token source failed").with_source(error)
            }
        }
    }

    /// The token error in an error that some stack wrapped: a
    /// [`BoxError`] of tower's, a `tonic::Status`, an error of
    /// reqwest-middleware with retries around it. `None` if the failure was
    /// another one.
    ///
    /// ```
    /// use tower_bearer::{BoxError, TokenError};
    ///
    /// fn retry_after(error: &BoxError) -> Option<std::time::Duration> {
    ///     TokenError::find(&**error)?.retry_after()
    /// }
    /// ```
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        self.edit(|inner| inner.source = Some(source.into()))
    }

    /// Adds the time after which another try may help.
    #[must_use]
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }

    pub(crate) fn with_answer(self, status: StatusCode, code: Option<&str>) -> Self {
        self.edit(|inner| {
            inner.status = Some(status);
            inner.code = code.map(Into::into);
        })
    }

    /// Changes an error that nobody else holds yet.
    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            change(inner);
        }
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> TokenErrorKind {
        self.inner.kind
    }

    /// Whether the same call may succeed later without anybody changing
    /// anything.
    pub fn is_transient(&self) -> bool {
        use TokenErrorKind::*;
        matches!(
            self.kind(),
            Connect | Timeout | Unavailable | WaitTimeout | Source
        )
    }

    /// How long to wait before another call can lead to another token request;
    /// until then callers get this error from memory. `None` when nothing is
    /// known. Fit for a `Retry-After` header of one's own.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The status of the token endpoint's answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// The `error` member of the token endpoint's answer (RFC 6749, section
    /// 5.2), `invalid_grant` for one.
    pub fn oauth_error(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }
}

impl fmt::Debug for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenError")
            .field("kind", &self.inner.kind)
            .field("what", &self.inner.what)
            .field("status", &self.inner.status)
            .field("oauth_error", &self.inner.code)
            .field("retry_after", &self.retry_after)
            .field("source", &self.inner.source)
            .finish()
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.what)?;
        match (&self.inner.status, &self.inner.code) {
            (Some(status), Some(code)) => write!(f, " ({}, {code})", status.as_u16()),
            (Some(status), None) => write!(f, " ({})", status.as_u16()),
            _ => Ok(()),
        }
    }
}

impl StdError for TokenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|e| e as _)
    }
}

/// A setting that makes no sense, refused when it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    reason: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }

    #[cfg(feature = "private-key-jwt")]
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The setting that was refused.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl StdError for ConfigError {}
