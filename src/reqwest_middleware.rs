//! The layer as a reqwest-middleware `Middleware`.

use std::convert::Infallible;

use http::Extensions;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Result};

use crate::auth::{self, BearerAuthLayer, Next, ReplayPolicy, Route, Sent, route};
use crate::cache::{Acquire, Want};
use crate::error::TokenError;

/// A failure to get a token reaches the caller as
/// [`Error::Middleware`](reqwest_middleware::Error::Middleware), from which
/// [`TokenError::find`] gets it back, also when other middleware wrapped it.
#[async_trait::async_trait]
impl<P> Middleware for BearerAuthLayer<P>
where
    P: ReplayPolicy<Request> + Send + Sync + 'static,
{
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> Result<Response> {
        match route(&request, &self.origins) {
            Route::Attach => {}
            Route::Pass => return next.run(request, extensions).await,
            Route::Fail(error) => return Err(failed(error)),
        }
        let shared = &self.tokens.shared;
        let (mut want, mut replayed) = (Want::default(), false);
        loop {
            let live = Acquire::new(shared.clone(), want).await.map_err(failed)?;
            let copy = if replayed {
                None
            } else {
                self.policy.copy(&request)
            };
            request
                .headers_mut()
                .insert(AUTHORIZATION, live.token.header().clone());
            let sent = Sent::new(shared.clone(), &live, replayed);
            let mut response = next.clone().run(request, extensions).await?;
            match (sent.judge(&mut response, copy.is_some()), copy) {
                (Next::Replay, Some(copy)) => {
                    request = copy;
                    want.newer_than = sent.generation;
                    replayed = true;
                }
                _ => return Ok(response),
            }
        }
    }
}

/// Wrapped once, for `Error` shows the sources of what it holds and not that
/// itself.
fn failed(error: TokenError) -> Error {
    Error::middleware(auth::Error::<Infallible>::Token(error))
}
