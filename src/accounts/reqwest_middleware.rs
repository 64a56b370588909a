//! The layer as a reqwest-middleware `Middleware`.

use std::hash::Hash;

use http::Extensions;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::accounts::find::{FindAccount, RequestWithExtensions};
use crate::accounts::layer::AccountsLayer;
use crate::accounts::service::no_account;
use crate::auth::ReplayPolicy;
use crate::auth::reqwest_middleware::{failed, send};

/// By default the account is an extension of the request:
/// `client.get(url).with_extension(Tenant(…))`.
#[async_trait::async_trait]
impl<K, F, P> Middleware for AccountsLayer<K, F, P>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    F: for<'a> FindAccount<RequestWithExtensions<'a>, K> + Send + Sync + 'static,
    P: ReplayPolicy<Request> + Send + Sync + 'static,
{
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let own = request.headers().contains_key(AUTHORIZATION);
        if own || !self.origins.permit_url(request.url()) {
            return next.run(request, extensions).await;
        }
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
        send(tokens, &self.policy, request, extensions, next).await
    }
}
