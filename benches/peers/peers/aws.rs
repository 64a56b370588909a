//! aws-smithy-runtime's lazy identity cache, with the bearer token identity.

use std::fmt;
use std::sync::Arc;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::http::Token;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache,
    SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use http::HeaderValue;

use crate::endpoint::Endpoint;
use crate::support::BoxError;

pub(crate) struct LazyIdentity {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

impl LazyIdentity {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Arc<Self> {
        let components = RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .build()
            .expect("runtime components");
        Arc::new(Self {
            cache: IdentityCache::lazy().build(),
            resolver: SharedIdentityResolver::new(Resolver(endpoint)),
            components,
            config: ConfigBag::base(),
        })
    }

    /// What the SDK's bearer auth scheme does: a lookup, then `format!`.
    pub(crate) async fn header(self: Arc<Self>) -> Result<HeaderValue, BoxError> {
        let resolver = self.resolver.clone();
        let identity = self
            .cache
            .resolve_cached_identity(resolver, &self.components, &self.config)
            .await?;
        let token: &Token = identity.data().ok_or("another identity")?;
        Ok(HeaderValue::from_str(&format!("Bearer {}", token.token()))?)
    }
}

struct Resolver(Arc<Endpoint>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let issued = self.0.issue().await;
            let token = Token::new(issued.secret, Some(issued.expires));
            Ok(Identity::new(token, Some(issued.expires)))
        })
    }
}
