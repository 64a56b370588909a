//! The origins, and how each judges a request that carries a token.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::time::sleep;
use tower::Service;

use crate::cache::world::{ApiMood, Sending, World};

pub(crate) const HOSTS: [&str; 3] = ["https://a.test", "https://b.test", "https://c.test"];

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
        let (sent, latency) = arrived(&world, &request);
        let busy = Busy(world, sent.number);
        Box::pin(async move {
            if !latency.is_zero() {
                sleep(latency).await;
            }
            let mut response = Response::new(String::new());
            *response.status_mut() = judged(&busy.0, sent, response.headers_mut());
            Ok(response)
        })
    }
}

/// A request with a token.
#[derive(Clone, Copy)]
struct Sent {
    number: u64,
    serial: u64,
    origin: usize,
    /// To the route that may reject all.
    is_bad: bool,
    replayed: bool,
}

/// The promises about what may be sent.
fn arrived(world: &World, request: &Request<()>) -> (Sent, Duration) {
    let value = request.headers().get(AUTHORIZATION);
    let text = value.and_then(|v| v.to_str().ok()?.strip_prefix("Bearer a"));
    let serial = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let Number(number) = request.extensions().get().copied().expect("a number");
    let host = request.uri().host().expect("a host");
    let origin = HOSTS.iter().position(|it| it.ends_with(host));

    let mut state = world.lock();
    let now = state.now();
    let current = state.reference.token;
    let is_current = current.is_some_and(|token| token.serial == serial);
    state.check(is_current, "sent with another token than the one in use");
    let valid = current.is_some_and(|token| token.is_valid(&now));
    state.check(valid, "sent with an expired token");
    let counted = state.reference.exclusive.on;
    let withheld = counted && state.refreshing;
    state.check(
        !withheld,
        "sent with the old token during an exclusive refresh",
    );
    let sent = state.sent.entry(number).or_default();
    sent.push(serial);
    let fine = match sent[..] {
        [_] => true,
        [first, second] => first < second,
        _ => false,
    };
    let replayed = sent.len() > 1;
    state.check(fine, "sent more than twice, or twice with the same token");
    let since = now.awake;
    let sending = Sending {
        serial,
        since,
        counted,
    };
    state.at_api.insert(number, sending);
    let sent = Sent {
        number,
        serial,
        origin: origin.expect("one of ours"),
        is_bad: request.uri().path() == "/bad",
        replayed,
    };
    (sent, state.api_latency)
}

fn judged(world: &World, sent: Sent, headers: &mut http::HeaderMap) -> StatusCode {
    let Sent {
        number,
        serial,
        origin,
        replayed,
        ..
    } = sent;
    let mut state = world.lock();
    let now = state.now();
    let takes = state.live.contains(&serial);
    let challenge = match state.api_moods[origin] {
        ApiMood::Failing => return StatusCode::BAD_GATEWAY,
        ApiMood::Odd => "Bearer error=\"insufficient_scope\"",
        ApiMood::OneRoute if sent.is_bad => "Bearer",
        ApiMood::Good | ApiMood::OneRoute if takes => {
            state.reference.accepted(origin, serial, replayed, &now);
            return StatusCode::OK;
        }
        ApiMood::Good | ApiMood::OneRoute | ApiMood::Rejecting => "Bearer",
    };
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    if challenge == "Bearer" {
        let verdict = state.reference.rejected(origin, serial, replayed, &now);
        state.verdicts.entry(number).or_insert(verdict);
    }
    StatusCode::UNAUTHORIZED
}

struct Busy(World, u64);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().at_api.remove(&self.1);
    }
}
