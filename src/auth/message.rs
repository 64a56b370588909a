//! What the layer needs of a request and a response, so that the one
//! implementation serves `http` and reqwest.

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request, Response, StatusCode};

use crate::error::{TokenError, TokenErrorKind};
use crate::origins::{Destination, Origins};

/// Where a request goes, as far as its token is concerned.
pub(crate) enum Route {
    Attach,
    Pass,
    Fail(TokenError),
}

/// A request that a token can be attached to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no request that a token can be attached to",
    note = "`http::Request` of any body is one, and with the feature `reqwest` so is `reqwest::Request`"
)]
pub trait RequestMessage {
    #[doc(hidden)]
    fn destination(&self, origins: &Origins) -> Destination;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

/// A response whose 401 the layer can read.
pub trait ResponseMessage {
    #[doc(hidden)]
    fn status(&self) -> StatusCode;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn extensions_mut(&mut self) -> &mut Extensions;
}

/// An `Authorization` that the caller set is the caller's affair.
#[inline]
pub(crate) fn route<Req: RequestMessage>(request: &Req, origins: &Origins) -> Route {
    if request.headers().contains_key(AUTHORIZATION) {
        return Route::Pass;
    }
    match request.destination(origins) {
        Destination::Permitted => Route::Attach,
        Destination::Elsewhere => Route::Pass,
        Destination::Unknown => Route::Fail(TokenError::new(
            TokenErrorKind::RelativeUri,
            "the request's URI has no scheme and host, so nobody can say whether the token may \
             go there: give the whole URI (with tonic, the client's `with_origin`)",
        )),
    }
}

impl<B> RequestMessage for Request<B> {
    #[inline]
    fn destination(&self, origins: &Origins) -> Destination {
        origins.destination(self.uri())
    }

    #[inline]
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    #[inline]
    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

impl<B> ResponseMessage for Response<B> {
    #[inline]
    fn status(&self) -> StatusCode {
        self.status()
    }

    #[inline]
    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    #[inline]
    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}

#[cfg(feature = "reqwest")]
impl RequestMessage for reqwest::Request {
    fn destination(&self, origins: &Origins) -> Destination {
        origins.destination_of(self.url())
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl ResponseMessage for reqwest::Response {
    fn status(&self) -> StatusCode {
        self.status()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        self.extensions_mut()
    }
}
