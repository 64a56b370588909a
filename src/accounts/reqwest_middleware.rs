//! The layer as a reqwest-middleware `Middleware`.

use std::hash::Hash;

use http::Extensions;
use http::header::AUTHORIZATION;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::accounts::find::{ByExtension, FindAccount};
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
    F: Find<K> + Send + Sync + 'static,
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
        let Some(key) = self.find.find(&request, extensions) else {
            if self.pass {
                return next.run(request, extensions).await;
            }
            return Err(failed(no_account()));
        };
        let account = self.accounts.account(&key).map_err(failed)?;
        let shared = &account.tokens().shared;
        send(shared, &self.policy, request, extensions, next).await
    }
}

/// Finds an account in what a middleware gets.
pub trait Find<K> {
    #[doc(hidden)]
    fn find(&self, request: &Request, extensions: &Extensions) -> Option<K>;
}

impl<K: Clone + Send + Sync + 'static> Find<K> for ByExtension {
    fn find(&self, _: &Request, extensions: &Extensions) -> Option<K> {
        extensions.get().cloned()
    }
}

impl<F, K> Find<K> for F
where
    F: Fn(&Request) -> Option<K>,
    K: Clone,
{
    fn find(&self, request: &Request, _: &Extensions) -> Option<K> {
        let key = FindAccount::find(self, request)?;
        Some(key.into_owned())
    }
}
