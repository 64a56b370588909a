//! Which responses reject the token.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};

use crate::auth::message::HttpResponse;
use crate::auth::rejection::challenge::is_about_scope;
use crate::auth::rejection::sent_token::SentToken;
use crate::auth::rejection::trailers::GrpcBody;
use crate::auth::rejection::verdict::{Verdict, grpc_status, rejected_if, unless_401};

/// Policy that decides which responses reject the token, in addition to every 401
/// that is not about its scope.
///
/// | API | policy |
/// |---|---|
/// | answers 401 to an invalid token | none: this is the default |
/// | answers 403, 400 or another status | [`Rejection::statuses`] |
/// | answers with a certain status and header | [`Rejection::when`] |
/// | uses gRPC | [`Rejection::grpc`] |
/// | answers 200, and says it in the body (GraphQL) | [`Rejection::in_body`] |
///
/// A rejection found this way has the same effect as a 401: one renewal for any
/// number of requests, one replay for each, and renewals that do not help are backed
/// off. The guide `rejections`, in the documentation with all features, lists what
/// the frameworks answer.
///
/// ```
/// # use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache};
/// use tower_bearer::Rejection;
/// # let tokens = TokenCache::new(AccessToken::new("t")?);
/// # let origins = Origins::any_https();
///
/// let layer = BearerAuthLayer::new(tokens, origins).reject_on(Rejection::statuses([403]));
/// # let _ = layer;
/// # Ok::<_, tower_bearer::TokenError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rejection<K = Unauthorized>(K);

/// Every 401 whose challenge does not say `insufficient_scope` (RFC 6750, section
/// 3.1), whatever its scheme. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unauthorized;

/// 401 and these statuses. See [`Rejection::statuses`].
#[derive(Clone, Debug)]
pub struct Statuses(Arc<[StatusCode]>);

/// 401 and what a closure decides. See [`Rejection::when`].
#[derive(Clone, Copy)]
pub struct When<F>(F);

/// 401 and `grpc-status: 16`. See [`Rejection::grpc`].
#[derive(Clone, Copy, Debug)]
pub struct Grpc;

/// 401 and what the caller reads in the body. See [`Rejection::in_body`].
#[derive(Clone, Copy, Debug)]
pub struct InBody;

impl Default for Rejection {
    fn default() -> Self {
        Self(Unauthorized)
    }
}

impl Rejection<Statuses> {
    /// Treats these statuses as rejections, as well as 401, unless a challenge says
    /// `insufficient_scope` (RFC 6750, section 3.1). Where an API answers an invalid
    /// token and missing rights alike, missing rights cost one renewal, and then one
    /// every 1 s to 60 s, because renewals that do not help are backed off.
    ///
    /// # Panics
    ///
    /// Panics if one is not an HTTP status.
    pub fn statuses<I>(statuses: I) -> Self
    where
        I: IntoIterator,
        I::Item: TryInto<StatusCode>,
    {
        let status = |status: I::Item| match status.try_into() {
            Ok(status) => status,
            Err(_) => panic!("not an HTTP status, which is 100 to 999"),
        };
        Self(Statuses(statuses.into_iter().map(status).collect()))
    }
}

impl<F> Rejection<When<F>>
where
    F: Fn(StatusCode, &HeaderMap) -> bool + Clone,
{
    /// Treats a response as a rejection if this closure returns true. Each 401 is
    /// one too, and the closure is not called for it.
    ///
    /// ```
    /// # use tower_bearer::{AccessToken, BearerAuthLayer, Origins, TokenCache};
    /// use tower_bearer::Rejection;
    /// # let tokens = TokenCache::new(AccessToken::new("t")?);
    /// # let layer = BearerAuthLayer::new(tokens, Origins::any_https());
    ///
    /// // An API whose gateway marks what it rejects.
    /// let layer = layer.reject_on(Rejection::when(|status, headers| {
    ///     status == 400 && headers.contains_key("x-token-expired")
    /// }));
    /// # let _ = layer;
    /// # Ok::<_, tower_bearer::TokenError>(())
    /// ```
    pub fn when(rejects: F) -> Self {
        Self(When(rejects))
    }
}

impl Rejection<Grpc> {
    /// Treats `grpc-status: 16` (unauthenticated) as a rejection, as well as 401. In
    /// the first headers, used by servers that check the token before they answer,
    /// it leads to a replay (of tonic's unary calls with
    /// [`BufferBody`](crate::BufferBody)). In trailers it is too late for a replay:
    /// they reach the caller once the newer token is there, for the next call.
    ///
    /// The response's body is a [`GrpcBody`], which reads the trailers.
    pub fn grpc() -> Self {
        Self(Grpc)
    }
}

impl Rejection<InBody> {
    /// Lets the caller reject the token after reading the body, as well as 401. Each
    /// response has a [`SentToken`] in its extensions for that.
    pub fn in_body() -> Self {
        Self(InBody)
    }
}

/// Trait of each [`Rejection`] for this type of response. It is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot read `{Res}`",
    note = "each `Rejection` reads an `http::Response`; `Rejection::grpc()` reads nothing else"
)]
pub trait RejectionPolicy<Res>: Clone + sealed::Sealed {
    /// The response that the caller gets.
    type Response;
    #[doc(hidden)]
    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict;
    /// Returns whether nothing in a response has to be read, provided that a success
    /// need not be reported.
    #[doc(hidden)]
    fn is_final(&self, response: &Res) -> bool;
    /// Returns what the caller gets, for a request that was sent with this token.
    #[doc(hidden)]
    fn finish(&self, response: Res, sent: Option<SentToken>) -> Self::Response;
}

mod sealed {
    pub trait Sealed {}

    impl<K> Sealed for super::Rejection<K> {}
}

impl<Res: HttpResponse> RejectionPolicy<Res> for Rejection<Unauthorized> {
    type Response = Res;

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        unless_401(status, headers, || Verdict::Accepted)
    }

    #[inline(always)]
    fn is_final(&self, response: &Res) -> bool {
        response.status() != StatusCode::UNAUTHORIZED
    }

    #[inline(always)]
    fn finish(&self, response: Res, _: Option<SentToken>) -> Res {
        response
    }
}

impl<Res: HttpResponse> RejectionPolicy<Res> for Rejection<Statuses> {
    type Response = Res;

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        let Statuses(statuses) = &self.0;
        unless_401(status, headers, || {
            rejected_if(statuses.contains(&status) && !is_about_scope(headers))
        })
    }

    #[inline]
    fn is_final(&self, response: &Res) -> bool {
        let Statuses(statuses) = &self.0;
        let status = response.status();
        status != StatusCode::UNAUTHORIZED && !statuses.contains(&status)
    }

    #[inline]
    fn finish(&self, response: Res, _: Option<SentToken>) -> Res {
        response
    }
}

impl<Res: HttpResponse, F> RejectionPolicy<Res> for Rejection<When<F>>
where
    F: Fn(StatusCode, &HeaderMap) -> bool + Clone,
{
    type Response = Res;

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        let When(rejects) = &self.0;
        unless_401(status, headers, || rejected_if(rejects(status, headers)))
    }

    #[inline]
    fn is_final(&self, response: &Res) -> bool {
        let verdict = RejectionPolicy::<Res>::verdict(self, response.status(), response.headers());
        verdict == Verdict::Accepted
    }

    #[inline]
    fn finish(&self, response: Res, _: Option<SentToken>) -> Res {
        response
    }
}

impl<B> RejectionPolicy<Response<B>> for Rejection<Grpc>
where
    Response<B>: HttpResponse,
{
    type Response = Response<GrpcBody<B>>;

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        unless_401(status, headers, || grpc_status(headers))
    }

    #[inline]
    fn is_final(&self, response: &Response<B>) -> bool {
        response.status() != StatusCode::UNAUTHORIZED
            && grpc_status(response.headers()) != Verdict::Rejected
    }

    fn finish(&self, response: Response<B>, sent: Option<SentToken>) -> Response<GrpcBody<B>> {
        response.map(|body| GrpcBody::new(body, sent))
    }
}

impl<Res: HttpResponse> RejectionPolicy<Res> for Rejection<InBody> {
    type Response = Res;

    fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        unless_401(status, headers, || Verdict::Undecided)
    }

    #[inline]
    fn is_final(&self, response: &Res) -> bool {
        response.status() != StatusCode::UNAUTHORIZED
    }

    fn finish(&self, mut response: Res, sent: Option<SentToken>) -> Res {
        if let Some(sent) = sent {
            response.extensions_mut().insert(sent);
        }
        response
    }
}

impl<F> fmt::Debug for When<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::WWW_AUTHENTICATE;

    use super::*;

    type Res = Response<http_body_util::Empty<bytes::Bytes>>;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> Res {
        let mut response = Res::default();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().append(*name, value);
        }
        response
    }

    fn read<R: RejectionPolicy<Res>>(policy: &R, response: &Res) -> Verdict {
        let verdict = policy.verdict(response.status(), response.headers());
        let says_nothing = matches!(verdict, Verdict::Accepted | Verdict::Undecided);
        assert!(!policy.is_final(response) || says_nothing, "{response:?}");
        verdict
    }

    #[test]
    fn a_policy_widens_the_401_and_never_narrows_it() {
        use Verdict::*;
        let scope = [(
            WWW_AUTHENTICATE.as_str(),
            "Bearer error=\"insufficient_scope\"",
        )];
        let marked = [("x-token-expired", "1")];
        let code = |code| [("grpc-status", code)];
        let when = Rejection::when(|status, headers: &HeaderMap| {
            status == 400 && headers.contains_key("x-token-expired")
        });
        let statuses = Rejection::statuses([403, 400]);
        // By default, statuses, closure, gRPC and body.
        for (response, expected) in [
            (
                response(200, &[]),
                [Accepted, Accepted, Accepted, Undecided, Undecided],
            ),
            (response(401, &[]), [Rejected; 5]),
            (response(401, &scope), [Unrelated; 5]),
            (
                response(403, &[]),
                [Accepted, Rejected, Accepted, Undecided, Undecided],
            ),
            (
                response(403, &scope),
                [Accepted, Accepted, Accepted, Undecided, Undecided],
            ),
            (
                response(400, &marked),
                [Accepted, Rejected, Rejected, Undecided, Undecided],
            ),
            (
                response(500, &marked),
                [Accepted, Accepted, Accepted, Undecided, Undecided],
            ),
            (
                response(200, &code("16")),
                [Accepted, Accepted, Accepted, Rejected, Undecided],
            ),
            (
                response(200, &code("0")),
                [Accepted, Accepted, Accepted, Accepted, Undecided],
            ),
            (
                response(200, &code("7")),
                [Accepted, Accepted, Accepted, Accepted, Undecided],
            ),
            // From a proxy in front of the server that reads tokens.
            (
                response(200, &code("14")),
                [Accepted, Accepted, Accepted, Undecided, Undecided],
            ),
            (response(401, &code("16")), [Rejected; 5]),
        ] {
            let verdicts = [
                read(&Rejection::default(), &response),
                read(&statuses, &response),
                read(&when, &response),
                read(&Rejection::grpc(), &response),
                read(&Rejection::in_body(), &response),
            ];
            assert_eq!(verdicts, expected, "{response:?}");
        }
    }

    #[test]
    #[should_panic(expected = "not an HTTP status")]
    fn what_is_no_status_is_refused() {
        let _ = Rejection::statuses([40]);
    }
}
