//! The API, and what it holds against each request that carries a token.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::time::sleep;
use tower::Service;

use crate::world::{ApiMood, World};

/// The number of a caller's request, which a replay shares.
#[derive(Clone, Copy)]
pub(crate) struct Number(pub(crate) u64);

#[derive(Clone)]
pub(crate) struct Api(pub(crate) World);

impl Service<Request<()>> for Api {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let world = self.0.clone();
        let (serial, replayed, latency) = arrived(&world, &request);
        let busy = Busy(world);
        Box::pin(async move {
            if !latency.is_zero() {
                sleep(latency).await;
            }
            let mut response = Response::new(String::new());
            *response.status_mut() = judged(&busy.0, serial, replayed, response.headers_mut());
            Ok(response)
        })
    }
}

/// The promises about what may be sent.
fn arrived(world: &World, request: &Request<()>) -> (u64, bool, std::time::Duration) {
    let value = request.headers().get(AUTHORIZATION);
    let text = value.and_then(|v| v.to_str().ok()?.strip_prefix("Bearer a"));
    let serial = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let Number(number) = request.extensions().get().copied().expect("a number");

    let mut state = world.lock();
    let now = state.now();
    let current = state.reference.token;
    let is_current = current.is_some_and(|token| token.serial == serial);
    state.check(is_current, "sent with another token than the one in use");
    let valid = current.is_some_and(|token| token.is_valid(&now));
    state.check(valid, "sent with an expired token");
    let sent = state.sent.entry(number).or_default();
    sent.push(serial);
    let fine = match sent[..] {
        [_] => true,
        [first, second] => first < second,
        _ => false,
    };
    let replayed = sent.len() > 1;
    state.check(fine, "sent more than twice, or twice with the same token");
    state.at_api += 1;
    (serial, replayed, state.api_latency)
}

fn judged(world: &World, serial: u64, replayed: bool, headers: &mut http::HeaderMap) -> StatusCode {
    let mut state = world.lock();
    let challenge = match state.api_mood {
        ApiMood::Failing => return StatusCode::BAD_GATEWAY,
        ApiMood::Odd => "Bearer error=\"insufficient_scope\"",
        ApiMood::Good if state.live.contains(&serial) => {
            state.reference.accepted(serial);
            return StatusCode::OK;
        }
        ApiMood::Good | ApiMood::Rejecting => "Bearer",
    };
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    if challenge == "Bearer" {
        let now = state.now();
        state.reference.rejected(serial, replayed, &now);
    }
    StatusCode::UNAUTHORIZED
}

struct Busy(World);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().at_api -= 1;
    }
}
