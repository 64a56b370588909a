//! The layer as a reqwest-middleware `Middleware`.

use std::hash::Hash;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::accounts::find::{FindAccount, RequestWithExtensions};
use crate::accounts::layer::AccountsLayer;
use crate::accounts::service::no_account;
use crate::auth::reqwest_middleware::{failed, pass_through, send};
use crate::auth::{RejectionPolicy, ReplayPolicy, has_authorization};

/// By default the account is an extension of the request:
/// `client.get(url).with_extension(Tenant(…))`.
#[async_trait::async_trait]
impl<K, F, P, R> Middleware for AccountsLayer<K, F, P, R>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    F: for<'a> FindAccount<RequestWithExtensions<'a>, K> + Send + Sync + 'static,
    P: ReplayPolicy<Request, Copy: Send> + Send + Sync + 'static,
    R: RejectionPolicy<Response, Response = Response> + Send + Sync + 'static,
{
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if has_authorization(&request) {
            return next.run(request, extensions).await;
        }
        let Some(origin) = self.origins.origin_of_url(request.url()) else {
            return pass_through(request, extensions, next).await;
        };
        let key = self
            .find
            .find(&RequestWithExtensions {
                request: &request,
                extensions,
            })
            .map(|key| key.into_owned());
        let Some(key) = key else {
            if self.pass_without_account {
                return next.run(request, extensions).await;
            }
            return Err(failed(no_account()));
        };
        let account = self.accounts.account(&key).map_err(failed)?;
        let tokens = &account.tokens().shared;
        send(tokens, &self.policies, origin, request, extensions, next).await
    }
}
