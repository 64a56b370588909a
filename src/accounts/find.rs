//! Scope request it is.

use std::borrow::Cow;

use http::Request;

/// Finds the account of a request. A closure `Fn(&Request) -> Option<K>` does,
/// and so does [`ByExtension`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not find an account of type `{K}` in `{Req}`",
    note = "by default the account is an extension of an `http::Request`; for other requests, or other places: `layer.account_by(|request: &…| Some(…))`"
)]
pub trait FindAccount<Req, K: Clone> {
    /// The account's key, or `None` if the request names none.
    fn find<'a>(&self, request: &'a Req) -> Option<Cow<'a, K>>;
}

/// The account is the request's [extension](http::Extensions) of the key's type.
/// The default.
///
/// A type of one's own (`struct Tenant(String)`) is nobody else's extension by
/// chance.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByExtension;

impl<B, K> FindAccount<Request<B>, K> for ByExtension
where
    K: Clone + Send + Sync + 'static,
{
    #[inline]
    fn find<'a>(&self, request: &'a Request<B>) -> Option<Cow<'a, K>> {
        request.extensions().get().map(Cow::Borrowed)
    }
}

impl<F, Req, K> FindAccount<Req, K> for F
where
    F: Fn(&Req) -> Option<K>,
    K: Clone,
{
    #[inline]
    fn find<'a>(&self, request: &'a Req) -> Option<Cow<'a, K>> {
        self(request).map(Cow::Owned)
    }
}
