//! A client whose tokens are revoked, for stacks that limit or balance it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::task::Poll;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use tokio::time::sleep;
use tower::{Service, service_fn};

use tower_bearer::{AccessToken, Origins, TokenCache};

use crate::common::{Body, Count, millis};

pub(crate) const API: &str = "http://localhost/v1/calls";

pub(crate) fn origins() -> Origins {
    Origins::only(["http://localhost"]).expect("an origin")
}

/// All of them, in one task.
pub(crate) async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|it| (Box::pin(it), None)).collect();
    poll_fn(|cx| {
        for (future, output) in futures.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(cx) {
                *output = Some(ready);
            }
        }
        match futures.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    futures
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// A client for tests that have no server: it takes a while, and rejects the
/// tokens up to a number.
pub(crate) fn api(
    revoked: &Count,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ 'static
+ use<> {
    let revoked = revoked.clone();
    service_fn(move |request: Request<Body>| {
        let token = request.headers()[AUTHORIZATION].to_str().expect("text");
        let token: usize = token["Bearer t".len()..].parse().expect("a number");
        let revoked = revoked.clone();
        async move {
            sleep(millis(10)).await;
            let mut response = Response::new(Body::default());
            let status: u16 = if token > revoked.get() { 200 } else { 401 };
            *response.status_mut() = status.try_into().expect("a status");
            Ok(response)
        }
    })
}

/// Tokens `t1`, `t2` and so on, each of which takes a while.
pub(crate) fn tokens() -> TokenCache {
    let fetches = Count::default();
    TokenCache::new(move || {
        let number = fetches.up();
        async move {
            sleep(millis(50)).await;
            AccessToken::new(format!("t{number}"))
        }
    })
}
