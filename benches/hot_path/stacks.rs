//! The stacks of this bench.

use std::future::{Ready, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{Layer, retry};
use tower_bearer::{CloneBody, TokenCache};

use crate::support::drive::{Stack, stack};
use crate::support::stack::{Noop, bearer, constant};

/// The inner service alone.
pub(crate) fn bare() -> Box<dyn Stack> {
    stack(<Noop>::new(), ())
}

/// With the constant header of tower-http.
pub(crate) fn with_constant() -> Box<dyn Stack> {
    stack(constant().layer(<Noop>::new()), ())
}

/// With a live token and `NoReplay`.
pub(crate) fn with_token(tokens: &TokenCache) -> Box<dyn Stack> {
    stack(bearer(tokens).layer(<Noop>::new()), ())
}

fn body() -> Full<Bytes> {
    Full::new(Bytes::from_static(b"{\"from\":\"100\",\"to\":\"200\"}"))
}

pub(crate) fn bare_with_body() -> Box<dyn Stack> {
    stack(<Noop>::new(), body())
}

/// With a live token and `CloneBody`.
pub(crate) fn with_clone_body(tokens: &TokenCache) -> Box<dyn Stack> {
    let layer = bearer(tokens).replay(CloneBody);
    stack(layer.layer(<Noop>::new()), body())
}

/// tower's retry around nothing: no token, only the copy of the request.
pub(crate) fn with_retry() -> Box<dyn Stack> {
    stack(retry::Retry::new(Copying, <Noop>::new()), body())
}

/// tower's retry around the constant header: what gives a request both.
pub(crate) fn with_retry_and_constant() -> Box<dyn Stack> {
    let inner = constant().layer(<Noop>::new());
    stack(retry::Retry::new(Copying, inner), body())
}

/// Copies each request and never retries.
#[derive(Clone)]
struct Copying;

impl<E> retry::Policy<Request<Full<Bytes>>, Response<Empty<Bytes>>, E> for Copying {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        result: &mut Result<Response<Empty<Bytes>>, E>,
    ) -> Option<Ready<()>> {
        let again = result.as_ref().is_ok_and(|answer| answer.status() == 401);
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}
