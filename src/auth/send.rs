//! Sending a request with the token of a cache: for the layer of one account and
//! that of many alike.

use std::sync::Arc;

use tower_service::Service;

use crate::auth::future::ResponseFuture;
use crate::auth::message::{
    HttpRequest, HttpResponse, attach, authorize, destination_error, has_authorization,
};
use crate::auth::pending::{Replay, Sent, Unsent};
use crate::auth::readiness::Inner;
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::Attempt;
use crate::cache::{Next, Requirements, Shared, TokenReader, WaitForToken};
use crate::error::TokenError;
use crate::origins::OriginId;
use crate::telemetry;

/// What a layer's user has decided.
#[derive(Clone)]
pub(crate) struct Policies<P, R> {
    /// Which requests are sent again.
    pub(crate) replay: P,
    /// Which responses reject the token.
    pub(crate) rejection: R,
}

/// Sends a request to one of the origins. The reader has to be suspended where the
/// inner service is lent.
#[inline]
pub(crate) fn send<S, P, R, Req>(
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
    let attached = reader.try_fast(&shared.current, |header, carried| {
        let copy = policies.replay.copy(&mut request);
        let attached = attach(request.headers_mut(), header);
        attached.then_some((copy, carried))
    });
    let (copy, carried) = match attached {
        Some(Some(attached)) => attached,
        Some(None) => {
            return ResponseFuture::pass(inner.ready().call(request), false, &policies.rejection);
        }
        None => return send_slow(inner, policies, shared, reader, origin, request),
    };
    let attempt = Attempt::on_fast_path(carried, origin);
    // Two ways to the same, so that nothing is moved where there is no copy.
    match copy {
        None => ResponseFuture::sent(
            inner.ready().call(request),
            attempt,
            None,
            &policies.rejection,
        ),
        Some(copy) => {
            let replay = Replay {
                copy,
                standby: inner.standby(),
                shared: shared.clone(),
            };
            ResponseFuture::sent(
                inner.ready().call(request),
                attempt,
                Some(replay),
                &policies.rejection,
            )
        }
    }
}

/// For a request that gets no token: it is for none of the origins.
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

/// Calls the inner service without a token; `unlisted` if that is because the
/// origin is not listed.
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

/// When a lookup is due.
#[inline(never)]
fn send_slow<S, P, R, Req>(
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

/// When the readiness that this request was called with is to be had back first,
/// and another request may have taken it.
#[cold]
#[inline(never)]
fn send_reclaimed<S, P, R, Req>(
    inner: &mut Inner<S>,
    policies: &Policies<P, R>,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    request: Req,
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
        return send(inner, policies, shared, reader, origin, request);
    }
    if has_authorization(&request) {
        return ResponseFuture::pass_queued(inner.queue(), request, false, &policies.rejection);
    }
    let token = WaitForToken::new(shared.clone(), Requirements::default());
    let unsent = Unsent::new(inner.queue(), policies.replay.clone(), origin, request);
    ResponseFuture::await_token(token, unsent, &policies.rejection)
}
