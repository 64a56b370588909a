//! The errors of token requests and of settings.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

/// Any error, boxed, as in tower.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Kind of a [`TokenError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenErrorKind {
    /// The token endpoint could not be reached, or the response broke off: name
    /// resolution, TCP, TLS, a proxy's 407, a lost connection. Transient.
    Connect,
    /// The token request did not finish within its timeout. Transient.
    Timeout,
    /// The token endpoint is temporarily unavailable: 408, 425, 429, 5xx, or
    /// `temporarily_unavailable` (RFC 6749, section 4.1.2.1). Transient.
    Unavailable,
    /// The token endpoint refused the credentials or the client: with a known `error`
    /// (RFC 6749, section 5.2) in a response of any status except 429 and 503, with
    /// any other `error` in a success, or with any other 4xx, for example a page. The
    /// error is repeated from memory until the next attempt, or until
    /// [`TokenCache::reset`](crate::TokenCache::reset).
    ///
    /// A success without a usable token, for example a page, is
    /// [`InvalidResponse`](Self::InvalidResponse), and a redirect is
    /// [`UnexpectedRedirect`](Self::UnexpectedRedirect). The cache treats both like a
    /// refusal: the pauses before the next attempts are the same.
    Refused,
    /// The token endpoint's response was not understood (RFC 6749, section 5.1).
    InvalidResponse,
    /// The token endpoint answered with a redirect that is not followed.
    UnexpectedRedirect,
    /// The access token had expired when it arrived: its lifetime is shorter than
    /// its request took. Transient.
    Expired,
    /// A setting makes a token request impossible.
    Config,
    /// The caller's wait ended before the fetch did
    /// ([`wait_timeout`](crate::TokenCacheBuilder::wait_timeout)). The fetch goes
    /// on. Transient.
    WaitTimeout,
    /// The token source panicked.
    Panicked,
    /// A token was requested outside a tokio runtime.
    NoRuntime,
    /// The store that processes share could not be reached. Callers that want a
    /// token never get this error; [`Status`](crate::Status) reports it.
    Store,
    /// A token was requested after
    /// [`TokenCache::shutdown`](crate::TokenCache::shutdown).
    ShutDown,
    /// Your own [`TokenSource`](crate::TokenSource) failed. Transient.
    Source,
    /// The request names no account, so a layer for many accounts cannot choose a
    /// token.
    NoAccount,
    /// The request's URI has no scheme and host, so its destination is unknown.
    RelativeUri,
}

/// Error that says why no token is available.
///
/// Cheap to clone: all callers that waited for one fetch get the same error. It
/// never shows a password, a token, a client secret, or any part of a response other
/// than its `error`.
///
/// The message names the endpoint, the status and the `error`; a refusal also
/// says when the next attempt is made:
///
/// ```text
/// the token endpoint at auth.voipex.io refused the user name or password (401, invalid_grant); next attempt in 60 s, or after `TokenCache::reset`
/// ```
#[derive(Clone)]
pub struct TokenError {
    // One pointer, which a `Result` returns in a register: a call that may fail with
    // this error costs nothing extra when it succeeds.
    shown: Arc<Shown>,
}

/// The error as one caller sees it.
#[derive(Clone)]
struct Shown {
    inner: Arc<Inner>,
    retry_after: Option<Duration>,
    /// Whether a cache returned it to its caller.
    is_of_cache: bool,
}

struct Inner {
    kind: TokenErrorKind,
    what: Cow<'static, str>,
    status: Option<StatusCode>,
    code: Option<Box<str>>,
    description: Option<Box<str>>,
    error_uri: Option<Box<str>>,
    source: Option<BoxError>,
    /// Whether the source does not support the operation.
    is_unsupported: bool,
}

impl TokenError {
    /// Creates an error of this kind. `what` is the message, so it must hold no
    /// secret.
    pub fn new(kind: TokenErrorKind, what: impl Into<Cow<'static, str>>) -> Self {
        let inner = Inner {
            kind,
            what: what.into(),
            status: None,
            code: None,
            description: None,
            error_uri: None,
            source: None,
            is_unsupported: false,
        };
        Self {
            shown: Arc::new(Shown {
                inner: Arc::new(inner),
                retry_after: None,
                is_of_cache: false,
            }),
        }
    }

    /// Wraps an error of your own [`TokenSource`](crate::TokenSource) as
    /// [`TokenErrorKind::Source`]. Returns a `TokenError` unchanged.
    pub fn from_source(error: impl Into<BoxError>) -> Self {
        match error.into().downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => {
                Self::new(TokenErrorKind::Source, "the token source failed").with_source(error)
            }
        }
    }

    /// Finds the token error in an error that a stack wrapped: a [`BoxError`] of
    /// tower, a `tonic::Status`, an error of reqwest-middleware with retries.
    /// Returns `None` if it contains none.
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

    /// Sets the pause after which another attempt may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, after: Option<Duration>) -> Self {
        Arc::make_mut(&mut self.shown).retry_after = after;
        self
    }

    /// Marks the error that a cache returns to its caller.
    pub(crate) fn of_cache(mut self) -> Self {
        Arc::make_mut(&mut self.shown).is_of_cache = true;
        self
    }

    /// Returns whether a cache returned it to its caller: in the source of another
    /// cache it says nothing of that source's own credentials.
    pub(crate) fn is_of_cache(&self) -> bool {
        self.shown.is_of_cache
    }

    /// Creates the error of a source that does not support the operation.
    pub(crate) fn unsupported(what: &'static str) -> Self {
        Self::new(TokenErrorKind::Config, what).edit(|inner| inner.is_unsupported = true)
    }

    pub(crate) fn is_unsupported(&self) -> bool {
        self.shown.inner.is_unsupported
    }

    /// Adds the status of the token endpoint's response and its `error` member (RFC
    /// 6749, section 5.2), for your own [`TokenSource`](crate::TokenSource). From
    /// the status the cache learns whether the credentials were answered, and so how
    /// long to wait before the next attempt.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_bearer::{TokenError, TokenErrorKind};
    ///
    /// let error = TokenError::new(TokenErrorKind::Refused, "the vault refused the role")
    ///     .with_response(StatusCode::FORBIDDEN, Some("access_denied"));
    /// assert_eq!(error.oauth_error(), Some("access_denied"));
    /// ```
    #[must_use]
    pub fn with_response(self, status: StatusCode, code: Option<&str>) -> Self {
        self.edit(|inner| {
            inner.status = Some(status);
            inner.code = code.map(Into::into);
        })
    }

    /// Adds the token endpoint's description of the refusal, without anything that
    /// was sent.
    pub(crate) fn with_description(self, text: Option<String>, uri: Option<String>) -> Self {
        self.edit(|inner| {
            inner.description = text.map(Into::into);
            inner.error_uri = uri.map(Into::into);
        })
    }

    /// Returns the cause if the message includes it: the message of an error that is
    /// not this crate's says nothing without its cause.
    fn shown_cause(&self) -> Option<&(dyn StdError + 'static)> {
        let is_foreign = matches!(self.kind(), TokenErrorKind::Source | TokenErrorKind::Store);
        let cause = self.shown.inner.source.as_deref().filter(|_| is_foreign)?;
        Some(cause as _)
    }

    /// Changes an error that is not shared yet.
    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(shown) = Arc::get_mut(&mut self.shown)
            && let Some(inner) = Arc::get_mut(&mut shown.inner)
        {
            change(inner);
        }
        self
    }

    /// Returns the error that caused this one, for example your own source's. Unlike
    /// [`source`](StdError::source) it also returns a cause that the message
    /// includes.
    pub fn get_ref(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.shown.inner.source.as_deref()
    }

    /// Returns the kind of failure.
    pub fn kind(&self) -> TokenErrorKind {
        self.shown.inner.kind
    }

    /// Returns whether the same call may succeed later without any change.
    pub fn is_transient(&self) -> bool {
        use TokenErrorKind::*;
        matches!(
            self.kind(),
            Connect | Timeout | Unavailable | Expired | WaitTimeout | Source
        )
    }

    /// Returns how long to wait until another call can lead to another token
    /// request; until then callers get this error from memory. `None` if that is not
    /// known. Suitable for a `Retry-After` header in your own responses.
    pub fn retry_after(&self) -> Option<Duration> {
        self.shown.retry_after
    }

    /// Returns the status of the token endpoint's response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.shown.inner.status
    }

    /// Returns the `error` of the token endpoint's response (RFC 6749, section
    /// 5.2), `invalid_grant` for example.
    pub fn oauth_error(&self) -> Option<&str> {
        self.shown.inner.code.as_deref()
    }

    /// Returns the token endpoint's description of the refusal (`error_description`,
    /// RFC 6749, section 5.2), for an operator: for example that a secret has
    /// expired, or which client authentication the server requires.
    ///
    /// The secrets that were sent, the client id, the user name and control
    /// characters are removed, and at most 1,000 characters are kept. It is still
    /// untrusted text, so no message, `Debug` output or event contains it.
    ///
    /// ```
    /// use tower_bearer::TokenError;
    ///
    /// fn explain(error: &TokenError) -> String {
    ///     format!("{error}: {}", error.description().unwrap_or("no description"))
    /// }
    /// ```
    pub fn description(&self) -> Option<&str> {
        self.shown.inner.description.as_deref()
    }

    /// Returns the page that the token endpoint names for the refusal (`error_uri`,
    /// RFC 6749, section 5.2), or `None` if it contains anything that was sent. Like
    /// the [description](Self::description) it is untrusted text.
    pub fn error_uri(&self) -> Option<&str> {
        self.shown.inner.error_uri.as_deref()
    }
}

impl fmt::Debug for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenError")
            .field("kind", &self.shown.inner.kind)
            .field("what", &self.shown.inner.what)
            .field("status", &self.shown.inner.status)
            .field("oauth_error", &self.shown.inner.code)
            .field("retry_after", &self.shown.retry_after)
            .field("source", &self.shown.inner.source)
            .finish()
    }
}

impl TokenError {
    /// Returns whether the next attempt waits as long as after a refusal.
    fn waits_long(&self) -> bool {
        use TokenErrorKind::{InvalidResponse, Refused, UnexpectedRedirect};
        matches!(self.kind(), Refused | InvalidResponse | UnexpectedRedirect)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.inner.what)?;
        if let Some(cause) = self.shown_cause() {
            write!(f, ": {cause}")?;
        }
        match (&self.shown.inner.status, &self.shown.inner.code) {
            (Some(status), Some(code)) => write!(f, " ({}, {code})", status.as_u16())?,
            (Some(status), None) => write!(f, " ({})", status.as_u16())?,
            _ => {}
        }
        match self.shown.retry_after {
            Some(after) if self.waits_long() => {
                // Rounded up: the rest of a pause is rarely a whole number of
                // seconds.
                let seconds = after.as_millis().div_ceil(1000);
                write!(
                    f,
                    "; next attempt in {seconds} s, or after `TokenCache::reset`"
                )
            }
            _ => Ok(()),
        }
    }
}

impl StdError for TokenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.shown_cause() {
            // The message includes this cause already, so a printed chain of causes
            // would repeat it.
            Some(cause) => cause.source(),
            None => self.shown.inner.source.as_deref().map(|e| e as _),
        }
    }
}

/// Error for an invalid setting. The message names the setting and what to change.
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

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the name of the refused setting.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_the_next_attempt_is_and_how_to_make_it_sooner() {
        for (kind, message) in [
            (
                TokenErrorKind::Refused,
                "no (401, invalid_grant); next attempt in 60 s, or after `TokenCache::reset`",
            ),
            (
                TokenErrorKind::InvalidResponse,
                "no (401, invalid_grant); next attempt in 60 s, or after `TokenCache::reset`",
            ),
            (
                TokenErrorKind::UnexpectedRedirect,
                "no (401, invalid_grant); next attempt in 60 s, or after `TokenCache::reset`",
            ),
            (TokenErrorKind::Unavailable, "no (401, invalid_grant)"),
        ] {
            let error = TokenError::new(kind, "no")
                .with_response(StatusCode::UNAUTHORIZED, Some("invalid_grant"))
                .with_retry_after(Some(Duration::from_millis(59_001)));
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn the_cause_of_a_foreign_error_is_in_the_message_and_nothing_is_there_twice() {
        let cause = std::io::Error::other(TokenError::new(TokenErrorKind::Config, "no key"));
        let error = TokenError::from_source(cause);
        let mut chain = vec![error.to_string()];
        let mut next = error.source();
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert_eq!(chain, ["the token source failed: no key"]);
    }
}
