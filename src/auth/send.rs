//! Sending a request with the token of a cache: for the layer of one account and
//! that of many alike.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use tower_service::Service;

use crate::auth::future::{Queued, Replay, ResponseFuture};
use crate::auth::message::{HttpRequest, HttpResponse, attach, destination_error};
use crate::auth::replay::ReplayPolicy;
use crate::auth::response::Attempt;
use crate::cache::{Next, Requirements, Shared, TokenReader, WaitForToken};

/// Sends a request that is for one of the origins.
#[inline]
pub(crate) fn send<S, P, Req>(
    inner: &mut S,
    policy: &P,
    shared: &Arc<Shared>,
    reader: &mut TokenReader,
    mut request: Req,
) -> ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    P: ReplayPolicy<Req> + Clone,
    Req: HttpRequest,
{
    let attached = reader.try_fast(&shared.current, |header, generation| {
        let copy = policy.copy(&request);
        let attached = attach(request.headers_mut(), header);
        attached.then_some((copy, generation))
    });
    let (copy, generation) = match attached {
        Some(Some(attached)) => attached,
        Some(None) => return pass_through(inner, request),
        None => return send_slow(inner, policy, shared, request),
    };
    let sent = Attempt::on_fast_path(shared, generation);
    match copy {
        None => ResponseFuture::sent(inner.call(request), sent, None),
        Some(request_again) => {
            let replay = Replay {
                request: request_again,
                service: inner.clone(),
                shared: shared.clone(),
            };
            ResponseFuture::sent(inner.call(request), sent, Some(replay))
        }
    }
}

/// For a request that gets no token: it is for none of the origins, or the
/// caller set an `Authorization`.
#[inline(never)]
pub(crate) fn pass_through<S, P, Req>(inner: &mut S, request: Req) -> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    Req: HttpRequest,
{
    match destination_error(&request) {
        None => ResponseFuture::pass(inner.call(request)),
        Some(error) => ResponseFuture::fail(error),
    }
}

/// When a glance does not suffice.
#[inline(never)]
fn send_slow<S, P, Req>(
    inner: &mut S,
    policy: &P,
    shared: &Arc<Shared>,
    mut request: Req,
) -> ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    P: ReplayPolicy<Req> + Clone,
    Req: HttpRequest,
{
    if request.headers().contains_key(AUTHORIZATION) {
        return ResponseFuture::pass(inner.call(request));
    }
    let needs = Requirements::default();
    match shared.lookup(needs) {
        Next::Fail(error) => ResponseFuture::fail(error),
        Next::Serve(live) => {
            let replay = policy.copy(&request).map(|copy| Replay {
                request: copy,
                service: inner.clone(),
                shared: shared.clone(),
            });
            request
                .headers_mut()
                .insert(AUTHORIZATION, live.header().clone());
            let sent = Attempt::new(shared, &live, false);
            ResponseFuture::sent(inner.call(request), sent, replay)
        }
        Next::Wait(waiter) => {
            // The service that was ready is the one to be called.
            let next = inner.clone();
            let held = Queued {
                policy: policy.clone(),
                request,
                service: std::mem::replace(inner, next),
            };
            let token = WaitForToken::joined(shared.clone(), needs, Some(waiter));
            ResponseFuture::first(token, held)
        }
    }
}
