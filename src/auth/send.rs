//! Sending a request with the token of a cache: for the layer of one account and
//! that of many alike.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use tower_service::Service;

use crate::auth::future::{Held, Replay, ResponseFuture};
use crate::auth::message::{RequestMessage, ResponseMessage, attach, destination_error};
use crate::auth::outcome::Sent;
use crate::auth::replay::ReplayPolicy;
use crate::cache::{Acquire, Reader, Shared, Step, Want};

/// Sends a request that is for one of the origins.
#[inline]
pub(crate) fn send<S, P, Req>(
    inner: &mut S,
    policy: &P,
    shared: &Arc<Shared>,
    reader: &mut Reader,
    mut request: Req,
) -> ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    S::Response: ResponseMessage,
    P: ReplayPolicy<Req> + Clone,
    Req: RequestMessage,
{
    let attached = reader.glance(&shared.current, |header, generation| {
        let copy = policy.copy(&request);
        let attached = attach(request.headers_mut(), header);
        attached.then_some((copy, generation))
    });
    let (copy, generation) = match attached {
        Some(Some(attached)) => attached,
        Some(None) => return send_without(inner, request),
        None => return send_after_a_look(inner, policy, shared, request),
    };
    let sent = Sent::at_a_glance(shared, generation);
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
pub(crate) fn send_without<S, P, Req>(inner: &mut S, request: Req) -> ResponseFuture<S, P, Req>
where
    S: Service<Req>,
    Req: RequestMessage,
{
    match destination_error(&request) {
        None => ResponseFuture::pass(inner.call(request)),
        Some(error) => ResponseFuture::fail(error),
    }
}

/// When a glance does not suffice.
#[inline(never)]
fn send_after_a_look<S, P, Req>(
    inner: &mut S,
    policy: &P,
    shared: &Arc<Shared>,
    mut request: Req,
) -> ResponseFuture<S, P, Req>
where
    S: Service<Req> + Clone,
    P: ReplayPolicy<Req> + Clone,
    Req: RequestMessage,
{
    if request.headers().contains_key(AUTHORIZATION) {
        return ResponseFuture::pass(inner.call(request));
    }
    let want = Want::default();
    match shared.look(want) {
        Step::Fail(error) => ResponseFuture::fail(error),
        Step::Serve(live) => {
            let replay = policy.copy(&request).map(|copy| Replay {
                request: copy,
                service: inner.clone(),
                shared: shared.clone(),
            });
            request
                .headers_mut()
                .insert(AUTHORIZATION, live.header().clone());
            let sent = Sent::new(shared, &live, false);
            ResponseFuture::sent(inner.call(request), sent, replay)
        }
        Step::Wait(waiter) => {
            // The service that was ready is the one to be called.
            let next = inner.clone();
            let held = Held {
                policy: policy.clone(),
                request,
                service: std::mem::replace(inner, next),
            };
            let token = Acquire::joined(shared.clone(), want, Some(waiter));
            ResponseFuture::first(token, held)
        }
    }
}
