//! The API, which checks whose token each request has.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use tower::Service;

use crate::accounts::state::{Key, World};

#[derive(Clone)]
pub(crate) struct Api(pub(crate) World);

impl Service<Request<()>> for Api {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Ok(()).into()
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let mut state = self.0.lock();
        let key: Key = *request.extensions().get().expect("a key");
        let value = request.headers().get(AUTHORIZATION);
        let text = value.and_then(|v| v.to_str().ok()?.strip_prefix("Bearer "));
        let text = text.unwrap_or_default();
        state.handed(key, text);
        let serial = text.strip_prefix('a').and_then(|text| text.parse().ok());
        let serial: u64 = serial.unwrap_or_default();
        let mut response = Response::new(String::new());
        if state.live.get(&serial) != Some(&key) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        ready(Ok(response))
    }
}
