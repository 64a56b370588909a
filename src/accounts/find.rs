//! Finds the account of a request.

use std::borrow::Cow;
use std::fmt;

use http::{Extensions, HeaderMap, Method, Request, Uri};

/// Finder of the account of a request of the type `Req`: [`ByExtension`] or [`ByFn`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot find the account of a `{Req}`",
    note = "by default the account is an extension of an `http::Request`, of the type of the key",
    note = "a `reqwest::Request` has no extensions: read the account from its URL or headers with `layer.account_by(|request| Some(…))`, or make one layer for each account with `BearerAuthLayer::new(accounts.get_or_create(&key)?, origins)`",
    note = "with reqwest-middleware, pass the `AccountsLayer` to `ClientBuilder::with`, and mark each request by `.with_extension(key)`"
)]
pub trait FindAccount<Req, K: Clone> {
    #[doc(hidden)]
    fn find<'a>(&self, request: &'a Req) -> Option<Cow<'a, K>>;
}

/// Finder of the account in the request's [extension](http::Extensions) of the key's
/// type. The default.
///
/// Use your own type as the key (`struct Tenant(String)`): other layers may add
/// extensions of common types.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByExtension;

/// Finder of the account by a closure, made by
/// [`AccountsLayer::account_by`](crate::AccountsLayer::account_by).
#[derive(Clone, Copy)]
pub struct ByFn<F>(pub(crate) F);

/// Head of a request of any type and body, as a closure sees it.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    target: Target<'a>,
    headers: &'a HeaderMap,
    extensions: Option<&'a Extensions>,
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Uri(&'a Uri),
    #[cfg(feature = "reqwest")]
    Url(&'a reqwest::Url),
}

impl<'a> RequestHead<'a> {
    #[inline]
    fn new<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            target: Target::Uri(request.uri()),
            headers: request.headers(),
            extensions: Some(request.extensions()),
        }
    }

    #[cfg(feature = "reqwest")]
    fn with_reqwest(request: &'a reqwest::Request, extensions: Option<&'a Extensions>) -> Self {
        Self {
            method: request.method(),
            target: Target::Url(request.url()),
            headers: request.headers(),
            extensions,
        }
    }

    /// Returns the method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the host of the URL, without the port, if it has one.
    pub fn host(&self) -> Option<&'a str> {
        match self.target {
            Target::Uri(uri) => uri.host(),
            #[cfg(feature = "reqwest")]
            Target::Url(url) => url.host_str(),
        }
    }

    /// Returns the path of the URL, percent-encoded.
    pub fn path(&self) -> &'a str {
        match self.target {
            Target::Uri(uri) => uri.path(),
            #[cfg(feature = "reqwest")]
            Target::Url(url) => url.path(),
        }
    }

    /// Returns the query of the URL, percent-encoded and without the `?`.
    pub fn query(&self) -> Option<&'a str> {
        match self.target {
            Target::Uri(uri) => uri.query(),
            #[cfg(feature = "reqwest")]
            Target::Url(url) => url.query(),
        }
    }

    /// Returns the headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the extension of this type: of an `http::Request`, or of a request
    /// in a reqwest-middleware stack. A plain `reqwest::Request` has none.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&'a T> {
        self.extensions?.get()
    }
}

impl<B, K> FindAccount<Request<B>, K> for ByExtension
where
    K: Clone + Send + Sync + 'static,
{
    #[inline]
    fn find<'a>(&self, request: &'a Request<B>) -> Option<Cow<'a, K>> {
        request.extensions().get().map(Cow::Borrowed)
    }
}

impl<F, B, K> FindAccount<Request<B>, K> for ByFn<F>
where
    F: Fn(&RequestHead<'_>) -> Option<K>,
    K: Clone,
{
    #[inline]
    fn find<'a>(&self, request: &'a Request<B>) -> Option<Cow<'a, K>> {
        (self.0)(&RequestHead::new(request)).map(Cow::Owned)
    }
}

#[cfg(feature = "reqwest")]
impl<F, K> FindAccount<reqwest::Request, K> for ByFn<F>
where
    F: Fn(&RequestHead<'_>) -> Option<K>,
    K: Clone,
{
    fn find<'a>(&self, request: &'a reqwest::Request) -> Option<Cow<'a, K>> {
        (self.0)(&RequestHead::with_reqwest(request, None)).map(Cow::Owned)
    }
}

/// A request in a reqwest-middleware stack, which keeps the extensions separately.
#[cfg(feature = "reqwest-middleware")]
#[derive(Debug)]
pub struct RequestWithExtensions<'a> {
    pub(crate) request: &'a reqwest::Request,
    pub(crate) extensions: &'a Extensions,
}

#[cfg(feature = "reqwest-middleware")]
impl<K> FindAccount<RequestWithExtensions<'_>, K> for ByExtension
where
    K: Clone + Send + Sync + 'static,
{
    fn find<'a>(&self, request: &'a RequestWithExtensions<'_>) -> Option<Cow<'a, K>> {
        request.extensions.get().map(Cow::Borrowed)
    }
}

#[cfg(feature = "reqwest-middleware")]
impl<F, K> FindAccount<RequestWithExtensions<'_>, K> for ByFn<F>
where
    F: Fn(&RequestHead<'_>) -> Option<K>,
    K: Clone,
{
    fn find<'a>(&self, request: &'a RequestWithExtensions<'_>) -> Option<Cow<'a, K>> {
        let head = RequestHead::with_reqwest(request.request, Some(request.extensions));
        (self.0)(&head).map(Cow::Owned)
    }
}

/// Shows neither headers nor the path and query, which may hold secrets.
impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for ByFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByFn")
            .field(&std::any::type_name::<F>())
            .finish()
    }
}
