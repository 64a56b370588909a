//! The layer as a reqwest-middleware `Middleware`.

use std::convert::Infallible;
use std::sync::Arc;

use http::Extensions;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Result};

use crate::auth::{self, Action, Attempt, BearerAuthLayer, ReplayPolicy};
use crate::cache::{Requirements, Shared, WaitForToken};
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
        request: Request,
        extensions: &mut Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> Result<Response> {
        let own = request.headers().contains_key(AUTHORIZATION);
        if own || !self.origins.permit_url(request.url()) {
            return next.run(request, extensions).await;
        }
        send(&self.tokens.shared, &self.policy, request, extensions, next).await
    }
}

/// Sends a request with a token, and once more with a newer one if need be.
pub(crate) async fn send<P: ReplayPolicy<Request>>(
    shared: &Arc<Shared>,
    policy: &P,
    mut request: Request,
    extensions: &mut Extensions,
    next: reqwest_middleware::Next<'_>,
) -> Result<Response> {
    let (mut needs, mut replayed) = (Requirements::default(), false);
    loop {
        let live = WaitForToken::new(shared.clone(), needs)
            .await
            .map_err(failed)?;
        let copy = if replayed {
            None
        } else {
            policy.copy(&request)
        };
        request
            .headers_mut()
            .insert(AUTHORIZATION, live.header().clone());
        let sent = Attempt::new(shared, &live, replayed);
        let response = next.clone().run(request, extensions).await?;
        if sent.is_final(&response) {
            return Ok(response);
        }
        match (sent.on_response(response, copy.is_some()), copy) {
            (Action::Return(response), _) => return Ok(response),
            (Action::Replay, Some(copy)) => request = copy,
            (Action::Replay, None) => unreachable!("only what was copied is replayed"),
        }
        needs.newer_than = sent.generation();
        replayed = true;
    }
}

/// Wrapped once, for `Error` shows the sources of what it holds and not that
/// itself.
pub(crate) fn failed(error: TokenError) -> Error {
    Error::middleware(auth::Error::<Infallible>::Token(error))
}
