//! The error of the layer's service.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{BoxError, TokenError};

/// Error of a request: no token was available, or the inner service failed.
#[derive(Debug)]
pub enum Error<E> {
    /// There was no token to send. The inner service did not see the request.
    Token(TokenError),
    /// The inner service's own error.
    Inner(E),
}

impl<E> Error<E> {
    /// Returns the [`TokenError`] or the inner error itself, boxed. Use it in stacks
    /// whose inner error already is a [`BoxError`], which does not implement
    /// `std::error::Error`:
    ///
    /// ```
    /// use tower::{BoxError, ServiceBuilder, service_fn};
    /// # use tower_bearer::{AccessToken, BearerAuthLayer, Error, Origins, TokenCache};
    /// # let tokens = TokenCache::new(AccessToken::new("a")?);
    /// # let layer = BearerAuthLayer::new(tokens, Origins::any_https());
    /// # type Request = http::Request<String>;
    /// # let client = service_fn(|_: Request| async { Ok::<_, BoxError>(http::Response::new(String::new())) });
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

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sources give the reason, so a printed chain has each part once.
        f.write_str(match self {
            Self::Token(_) => "no bearer token",
            Self::Inner(_) => "the request failed",
        })
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match self {
            Self::Token(error) => error,
            Self::Inner(error) => error,
        })
    }
}
