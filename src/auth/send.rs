//! Sending a request with the token of a cache: for the layer of one account and
//! that of many alike.

use std::sync::Arc;

use tower_service::Service;

use crate::auth::future::{State, StateOf};
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

/// Sends a request to one of the origins. The reader has to be suspended where the
/// inner service is lent.
#[inline]
pub(crate) fn send<S, P, Req>(
    inner: &mut Inner<S>,
    policy: &P,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    mut request: Req,
) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    Req: HttpRequest,
{
    let attached = reader.try_fast(&shared.current, |header, carried| {
        let copy = policy.copy(&mut request);
        let attached = attach(request.headers_mut(), header);
        attached.then_some((copy, carried))
    });
    let (copy, carried) = match attached {
        Some(Some(attached)) => attached,
        Some(None) => return State::pass(inner.ready().call(request), false),
        None => return send_slow(inner, policy, shared, reader, origin, request),
    };
    let attempt = Attempt::on_fast_path(carried, origin);
    // Two ways to the same, so that nothing is moved where there is no copy.
    match copy {
        None => State::sent(inner.ready().call(request), attempt, None),
        Some(copy) => {
            let replay = Replay {
                copy,
                standby: inner.standby(),
                shared: shared.clone(),
            };
            State::sent(inner.ready().call(request), attempt, Some(replay))
        }
    }
}

/// For a request that gets no token: it is for none of the origins.
#[inline(never)]
pub(crate) fn pass_through<S, P, Req>(
    inner: &mut Inner<S>,
    request: Req,
) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
    Req: HttpRequest,
{
    if let Some(error) = destination_error(&request) {
        return fail(inner, error);
    }
    let unlisted = !has_authorization(&request);
    if unlisted {
        telemetry::origin_not_listed(|| request.shown_origin());
    }
    call(inner, request, unlisted)
}

/// Calls the inner service without a token; `unlisted` if that is because the
/// origin is not listed.
pub(crate) fn call<S, P, Req>(
    inner: &mut Inner<S>,
    request: Req,
    unlisted: bool,
) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
{
    if inner.is_lent() && !inner.reclaim() {
        return State::pass_queued(inner.queue(), request, unlisted);
    }
    State::pass(inner.ready().call(request), unlisted)
}

/// Fails a request that is not sent, and gives its readiness back.
pub(crate) fn fail<S, P, Req>(inner: &mut Inner<S>, error: TokenError) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req>,
{
    if inner.is_lent() {
        inner.reclaim();
    }
    inner.give_back();
    State::fail(error)
}

/// When a lookup is due.
#[inline(never)]
fn send_slow<S, P, Req>(
    inner: &mut Inner<S>,
    policy: &P,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    mut request: Req,
) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    Req: HttpRequest,
{
    if inner.is_lent() {
        return send_reclaimed(inner, policy, shared, reader, origin, request);
    }
    if has_authorization(&request) {
        return State::pass(inner.ready().call(request), false);
    }
    let needs = Requirements::default();
    match shared.lookup(needs) {
        Next::Fail(error) => fail(inner, error),
        Next::Serve { live, in_use } => {
            let replay = policy.copy(&mut request).map(|copy| Replay {
                copy,
                standby: inner.standby(),
                shared: shared.clone(),
            });
            authorize(&mut request, live.header());
            State::counted(Sent {
                response: inner.ready().call(request),
                attempt: Attempt::new(&live, origin, false),
                replay,
                in_use,
            })
        }
        Next::Wait { waiter, started } => {
            let token = WaitForToken::joined(shared.clone(), needs, waiter, started);
            let unsent = Unsent::new(inner.queue(), policy.clone(), origin, request);
            State::await_token(token, unsent)
        }
    }
}

/// When the readiness that this request was called with is to be had back first,
/// and another request may have taken it.
#[cold]
#[inline(never)]
fn send_reclaimed<S, P, Req>(
    inner: &mut Inner<S>,
    policy: &P,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    origin: OriginId,
    request: Req,
) -> StateOf<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    Req: HttpRequest,
{
    let reclaimed = inner.reclaim();
    reader.suspend(false);
    if reclaimed {
        return send(inner, policy, shared, reader, origin, request);
    }
    if has_authorization(&request) {
        return State::pass_queued(inner.queue(), request, false);
    }
    let token = WaitForToken::new(shared.clone(), Requirements::default());
    let unsent = Unsent::new(inner.queue(), policy.clone(), origin, request);
    State::await_token(token, unsent)
}
