//! The layer.

use std::fmt;

use tower_layer::Layer;

use crate::auth::replay::CloneBody;
use crate::auth::service::{BearerAuth, Config};
use crate::cache::{TokenCache, registry};
use crate::origins::Origins;

/// Attaches a bearer token to each request that goes to one of its origins.
///
/// The same value serves tower stacks over `http::Request`, `reqwest::Client`
/// as a tower service (feature `reqwest`) and reqwest-middleware (feature
/// `reqwest-middleware`). `P` says which requests are sent again after a 401.
#[derive(Clone)]
pub struct BearerAuthLayer<P = CloneBody> {
    pub(crate) tokens: TokenCache,
    pub(crate) origins: Origins,
    pub(crate) policy: P,
}

impl BearerAuthLayer {
    /// A layer that sends the tokens of this cache to these origins, and
    /// replays a request after a 401 by cloning it ([`CloneBody`]).
    pub fn new(tokens: TokenCache, origins: Origins) -> Self {
        registry::register(&tokens.shared);
        Self {
            tokens,
            origins,
            policy: CloneBody,
        }
    }
}

impl<P> BearerAuthLayer<P> {
    /// The same layer with another replay policy.
    #[must_use]
    pub fn replay<Q>(self, policy: Q) -> BearerAuthLayer<Q> {
        BearerAuthLayer {
            tokens: self.tokens,
            origins: self.origins,
            policy,
        }
    }
}

impl<S, P: Clone> Layer<S> for BearerAuthLayer<P> {
    type Service = BearerAuth<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = Config {
            tokens: self.tokens.clone(),
            origins: self.origins.clone(),
            policy: self.policy.clone(),
        };
        BearerAuth::new(inner, config)
    }
}

impl<P> fmt::Debug for BearerAuthLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuthLayer")
            .field("tokens", &self.tokens)
            .field("origins", &self.origins)
            .field("policy", &std::any::type_name::<P>())
            .finish()
    }
}
