//! The error of the layer's service.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{BoxError, TokenError};

/// Why a request failed: for needs of a token, or in the inner service.
#[derive(Debug)]
pub enum Error<E> {
    /// There was no token to send; the inner service did not see the request,
    /// or answered it with a 401 that could not be recovered from.
    Token(TokenError),
    /// The inner service's own error, untouched.
    Inner(E),
}

impl<E> Error<E> {
    /// The token's error, if it is one.
    pub fn as_token(&self) -> Option<&TokenError> {
        match self {
            Self::Token(error) => Some(error),
            Self::Inner(_) => None,
        }
    }

    /// The [`TokenError`] or the inner error itself, boxed. For stacks whose
    /// inner error is a [`BoxError`] already, which is no `std::error::Error`:
    ///
    /// ```
    /// use tower::{BoxError, ServiceBuilder, service_fn};
    /// # use tower_bearer::{AccessToken, BearerAuthLayer, Error, Origins, TokenCache};
    /// # let tokens = TokenCache::new(AccessToken::new("a")?);
    /// # let layer = BearerAuthLayer::new(tokens, Origins::any_https());
    /// # type Request = http::Request<String>;
    /// # let client = service_fn(|_: Request| async { Ok::<_, BoxError>(http::Response::new(())) });
    /// let stack = ServiceBuilder::new()
    ///     .map_err(Error::into_boxed)
    ///     .layer(layer)
    ///     .timeout(std::time::Duration::from_secs(10))
    ///     .service(client);
    /// # fn assert<S: tower::Service<Request, Error = BoxError>>(_: S) {}
    /// # assert(stack);
    /// # Ok::<_, BoxError>(())
    /// ```
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            Self::Token(error) => Box::new(error),
            Self::Inner(error) => error.into(),
        }
    }
}

impl<E> From<TokenError> for Error<E> {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(error) => write!(f, "no bearer token: {error}"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Itself, so that `TokenError::find` sees it.
            Self::Token(error) => Some(error),
            Self::Inner(error) => error.source(),
        }
    }
}
