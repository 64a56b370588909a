//! The layer as a reqwest-middleware `Middleware`.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Error, Middleware, Result};

use crate::auth::message::{HttpRequest, HttpResponse, authorize, has_authorization};
use crate::auth::response::{Action, Attempt, not_copied, passed, renewal_failed};
use crate::auth::send::Policies;
use crate::auth::{self, BearerAuthLayer, RejectionPolicy, ReplayPolicy};
use crate::cache::{CachedToken, InUse, Next, Requirements, Shared, WaitForToken};
use crate::error::TokenError;
use crate::origins::OriginId;
use crate::telemetry;

/// A token error reaches the caller as
/// [`Error::Middleware`](reqwest_middleware::Error::Middleware), from which
/// [`TokenError::find`] recovers it, even if other middleware wrapped it.
#[async_trait::async_trait]
impl<P, R> Middleware for BearerAuthLayer<P, R>
where
    P: ReplayPolicy<Request, Copy: Send> + Send + Sync + 'static,
    R: RejectionPolicy<Response, Response = Response> + Send + Sync + 'static,
{
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> Result<Response> {
        match self.origins.origin_of_url(request.url()) {
            _ if has_authorization(&request) => next.run(request, extensions).await,
            Some(origin) => {
                let shared = &self.tokens.shared;
                send(shared, &self.policies, origin, request, extensions, next).await
            }
            None => pass_through(request, extensions, next).await,
        }
    }
}

/// Sends a request with a token, and if necessary once more with a newer one.
pub(crate) async fn send<P, R>(
    shared: &Arc<Shared>,
    policies: &Policies<P, R>,
    origin: OriginId,
    mut request: Request,
    extensions: &mut Extensions,
    next: reqwest_middleware::Next<'_>,
) -> Result<Response>
where
    P: ReplayPolicy<Request>,
    R: RejectionPolicy<Response, Response = Response>,
{
    let rejects = &policies.rejection;
    let (live, in_use) = token(shared, Requirements::default())
        .await
        .map_err(failed)?;
    let copy = policies.replay.copy(&mut request);
    authorize(&mut request, live.header());
    let attempt = Attempt::new(&live, origin, false);
    let response = next.clone().run(request, extensions).await?;
    drop(in_use);
    if rejects.is_final(&response) && !attempt.is_listening() {
        return Ok(rejects.finish(response, attempt.sent_token()));
    }
    let rejection = match attempt.on_response(response, copy.is_some(), rejects) {
        Action::Return(response) => return Ok(rejects.finish(response, attempt.sent_token())),
        Action::ReturnRenewed(rejection, shared) => {
            let renewed = WaitForToken::new(shared, attempt.needs()).await;
            return Ok(not_copied(rejection, renewed));
        }
        Action::Replay(rejection) => rejection,
    };
    let request = copy.and_then(P::replay);
    let newer = token(shared, attempt.needs()).await;
    let (live, in_use, mut request) = match (newer, request) {
        (Ok((live, in_use)), Some(request)) => (live, in_use, request),
        (Err(error), _) => return Ok(renewal_failed(rejection, error)),
        (Ok((live, _)), None) => return Ok(not_copied(rejection, Ok(live))),
    };
    rejection.drain().await;
    authorize(&mut request, live.header());
    let attempt = Attempt::new(&live, origin, true);
    let response = next.run(request, extensions).await?;
    drop(in_use);
    match attempt.on_response(response, false, rejects) {
        Action::Return(response)
        | Action::Replay(response)
        | Action::ReturnRenewed(response, _) => Ok(rejects.finish(response, attempt.sent_token())),
    }
}

/// Sends a request to an origin that is not listed.
pub(crate) async fn pass_through(
    request: Request,
    extensions: &mut Extensions,
    next: reqwest_middleware::Next<'_>,
) -> Result<Response> {
    telemetry::origin_not_listed(|| request.shown_origin());
    let response = next.run(request, extensions).await?;
    Ok(passed(response, true))
}

/// Waits for a token, and counts its use where uses are counted.
async fn token(
    shared: &Arc<Shared>,
    needs: Requirements,
) -> std::result::Result<(Arc<CachedToken>, Option<InUse>), TokenError> {
    let mut wait = pin!(WaitForToken::new(shared.clone(), needs));
    loop {
        match shared.lookup(needs) {
            Next::Serve { live, in_use } => return Ok((live, in_use)),
            Next::Fail(error) => return Err(error),
            // The time keeps running if the fetch did not bring what is needed.
            Next::Wait { .. } => drop(wait.as_mut().await?),
        }
    }
}

/// Wraps the error once, because `Error` shows the sources of what it holds, but not
/// that itself.
pub(crate) fn failed(error: TokenError) -> Error {
    Error::middleware(auth::Error::<Infallible>::Token(error))
}
