//! What the layer needs of a request and a response, so that the one
//! implementation serves `http` and reqwest.

use http::header::{AUTHORIZATION, Entry};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};

use crate::error::{TokenError, TokenErrorKind};
use crate::origins::Origins;

/// A request that a token can be attached to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no request that a token can be attached to",
    note = "`http::Request` of any body is one, and with the feature `reqwest` so is `reqwest::Request`"
)]
pub trait HttpRequest {
    #[doc(hidden)]
    fn is_for(&self, origins: &Origins) -> bool;
    #[doc(hidden)]
    fn has_origin(&self) -> bool;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn headers_mut(&mut self) -> &mut HeaderMap;
}

/// A response whose 401 the layer can read.
pub trait HttpResponse {
    #[doc(hidden)]
    fn status(&self) -> StatusCode;
    #[doc(hidden)]
    fn headers(&self) -> &HeaderMap;
    #[doc(hidden)]
    fn extensions_mut(&mut self) -> &mut Extensions;
}

/// Why a request that is for none of the origins cannot be sent; `None` if it
/// passes without a token. An `Authorization` that the caller set is the
/// caller's affair.
pub(crate) fn destination_error<Req: HttpRequest>(request: &Req) -> Option<TokenError> {
    let unknown = !request.has_origin() && !request.headers().contains_key(AUTHORIZATION);
    unknown.then(|| {
        TokenError::new(
            TokenErrorKind::RelativeUri,
            "the request's URI has no scheme and host, so nobody can say whether the token may \
             go there: give the whole URI (with tonic, the client's `with_origin`)",
        )
    })
}

/// Adds the header, unless the caller set one; tells whether it did.
///
/// In place, so that the compiler knows the header's name where it hashes it,
/// which is half of the cost: as a function of this crate it stood or fell with
/// how the compiler cut the crate.
#[inline(always)]
pub(crate) fn attach(headers: &mut HeaderMap, value: &HeaderValue) -> bool {
    if let Ok(false) = headers.try_append(AUTHORIZATION, value.clone()) {
        return true;
    }
    remove_last(headers);
    false
}

#[cold]
fn remove_last(headers: &mut HeaderMap) {
    let Entry::Occupied(mut entry) = headers.entry(AUTHORIZATION) else {
        return;
    };
    let mut values: Vec<_> = entry.iter().cloned().collect();
    values.pop();
    let mut values = values.into_iter();
    if let Some(first) = values.next() {
        entry.insert(first);
        values.for_each(|value| entry.append(value));
    }
}

impl<B> HttpRequest for Request<B> {
    #[inline]
    fn is_for(&self, origins: &Origins) -> bool {
        origins.permit(self.uri())
    }

    fn has_origin(&self) -> bool {
        self.uri().scheme().is_some() && self.uri().authority().is_some()
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

impl<B> HttpResponse for Response<B> {
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
impl HttpRequest for reqwest::Request {
    fn is_for(&self, origins: &Origins) -> bool {
        origins.permit_url(self.url())
    }

    fn has_origin(&self) -> bool {
        true
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers_mut()
    }
}

#[cfg(feature = "reqwest")]
impl HttpResponse for reqwest::Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorization_of_the_callers_own_is_left_as_it_is() {
        let token = HeaderValue::from_static("Bearer token");
        for own in [&[][..], &["Basic bWU="], &["Basic bWU=", "Bearer other"]] {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("*/*"));
            for value in own {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let before = headers.clone();
            if attach(&mut headers, &token) {
                assert!(own.is_empty());
                assert_eq!(headers.remove(AUTHORIZATION), Some(token.clone()));
            } else {
                assert!(!own.is_empty());
            }
            assert_eq!(headers, before);
        }
    }
}
