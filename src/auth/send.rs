//! Sending a request with the token of a cache, for the layers of one account and of
//! many.

use std::sync::Arc;

use http::HeaderValue;
use tower_service::Service;

use crate::auth::future::ResponseFuture;
use crate::auth::message::{
    HttpRequest, HttpResponse, attach, authorize, destination_error, has_authorization,
};
use crate::auth::pending::{Replay, Sent, Unsent};
use crate::auth::readiness::Inner;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::Attempt;
use crate::cache::{Carried, Next, Requirements, Shared, TokenReader, WaitForToken};
use crate::error::TokenError;
use crate::origins::OriginId;
use crate::telemetry;

/// The policies that the layer's user has chosen.
#[derive(Clone)]
pub(crate) struct Policies<P, R> {
    /// Which requests are sent again.
    pub(crate) replay: P,
    /// Which responses reject the token.
    pub(crate) rejection: R,
}

/// What the fast path did to a request.
pub(crate) enum Fast<C> {
    /// The token is attached; `copy` is what a replay needs.
    Attached { copy: Option<C>, carried: Carried },
    /// The caller has set the header.
    OwnHeader,
}

/// Attaches the token in place, if no lookup is due. The reader must be suspended
/// while the inner service is lent.
///
/// The request is borrowed, because one that is changed after a move is moved once
/// more. [`send_after`] does the rest.
#[inline(always)]
pub(crate) fn attach_fast<P, R, Req>(
    policies: &Policies<P, R>,
    shared: &Shared,
    reader: &mut TokenReader,
    request: &mut Req,
) -> Option<Fast<P::Copy>>
where
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    reader.try_fast(&shared.current, |header, carried| {
        attach_copied(policies, || header.clone(), carried, request)
    })
}

/// Attaches this header, and keeps what a replay needs.
#[inline(always)]
pub(crate) fn attach_copied<P, R, Req>(
    policies: &Policies<P, R>,
    header: impl FnOnce() -> HeaderValue,
    carried: Carried,
    request: &mut Req,
) -> Fast<P::Copy>
where
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    let copy = policies.replay.copy(request);
    match attach(request.headers_mut(), header) {
        true => Fast::Attached { copy, carried },
        false => Fast::OwnHeader,
    }
}

/// Sends a request after the fast path, in a `match` of its caller, so that the
/// request is moved only once, into the inner service.
macro_rules! send_after {
    ($fast:expr, $inner:expr, $policies:expr, $origin:expr, $request:expr, $cache:expr) => {
        match $fast {
            Fast::Attached {
                copy: None,
                carried,
            } => {
                let attempt = Attempt::on_fast_path(carried, $origin);
                let response = $inner.ready().call($request);
                ResponseFuture::sent(response, attempt, None, &$policies.rejection)
            }
            Fast::Attached {
                copy: Some(copy),
                carried,
            } => {
                let attempt = Attempt::on_fast_path(carried, $origin);
                let standby = $inner.standby();
                let replay = $cache.map(|shared| Replay {
                    copy,
                    standby,
                    shared,
                });
                let response = $inner.ready().call($request);
                ResponseFuture::sent(response, attempt, replay, &$policies.rejection)
            }
            Fast::OwnHeader => {
                let response = $inner.ready().call($request);
                ResponseFuture::pass(response, false, &$policies.rejection)
            }
        }
    };
}
pub(crate) use send_after;

/// Sends a request that gets no token, because it is for none of the origins.
#[inline(never)]
pub(crate) fn pass_through<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    request: Req,
) -> ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    R: Clone,
    Req: HttpRequest,
{
    if let Some(error) = destination_error(&request) {
        return fail(inner, policies, error);
    }
    let unlisted = !has_authorization(&request);
    if unlisted {
        telemetry::origin_not_listed(|| request.shown_origin());
    }
    call(inner, policies, request, unlisted)
}

/// Calls the inner service without a token; `unlisted` if that is because the origin
/// is not listed.
pub(crate) fn call<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    request: Req,
    unlisted: bool,
) -> ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    R: Clone,
{
    if inner.is_lent() && !inner.reclaim() {
        return ResponseFuture::pass_queued(inner.queue(), request, unlisted, &policies.rejection);
    }
    ResponseFuture::pass(inner.ready().call(request), unlisted, &policies.rejection)
}

/// Fails a request that is not sent, and gives its readiness back.
pub(crate) fn fail<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    error: TokenError,
) -> ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    R: Clone,
{
    if inner.is_lent() {
        inner.reclaim();
    }
    inner.give_back();
    ResponseFuture::fail(error, &policies.rejection)
}

/// Sends a request when a lookup is due.
#[inline(never)]
pub(crate) fn send_slow<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    mut request: Req,
) -> ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    R: Clone,
    Req: HttpRequest,
{
    if inner.is_lent() {
        return send_reclaimed(inner, policies, shared, reader, origin, request);
    }
    if has_authorization(&request) {
        return ResponseFuture::pass(inner.ready().call(request), false, &policies.rejection);
    }
    let needs = Requirements::default();
    match shared.lookup(needs) {
        Next::Fail(error) => fail(inner, policies, error),
        Next::Serve { live, in_use } => {
            let replay = policies.replay.copy(&mut request).map(|copy| Replay {
                copy,
                standby: inner.standby(),
                shared: shared.clone(),
            });
            authorize(&mut request, live.header());
            ResponseFuture::counted(
                Sent {
                    response: inner.ready().call(request),
                    attempt: Attempt::new(&live, origin, false),
                    replay,
                    in_use,
                },
                &policies.rejection,
            )
        }
        Next::Wait { waiter, started } => {
            let token = WaitForToken::joined(needs, waiter, started);
            let unsent = Unsent::new(inner.queue(), policies.replay.clone(), origin, request);
            ResponseFuture::await_token(token, unsent, &policies.rejection)
        }
    }
}

/// Sends a request that must first get back the readiness that it was called with,
/// which another request may have taken.
#[cold]
#[inline(never)]
fn send_reclaimed<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    mut request: Req,
) -> ResponseFuture<S, P, Req, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    R: Clone,
    Req: HttpRequest,
{
    let reclaimed = inner.reclaim();
    reader.suspend(false);
    if reclaimed {
        let Some(fast) = attach_fast(policies, shared, reader, &mut request) else {
            return send_slow(inner, policies, shared, reader, origin, request);
        };
        return send_after!(fast, inner, policies, origin, request, Some(shared.clone()));
    }
    if has_authorization(&request) {
        return ResponseFuture::pass_queued(inner.queue(), request, false, &policies.rejection);
    }
    let token = WaitForToken::new(shared.clone(), Requirements::default());
    let unsent = Unsent::new(inner.queue(), policies.replay.clone(), origin, request);
    ResponseFuture::await_token(token, unsent, &policies.rejection)
}
