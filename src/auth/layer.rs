//! The layer.

use std::fmt;

use tower_layer::Layer;

use crate::auth::rejection::Rejection;
use crate::auth::replay::CloneBody;
use crate::auth::send::Policies;
use crate::auth::service::{BearerAuth, Config};
use crate::cache::{TokenCache, registry};
use crate::origins::Origins;

/// Layer that attaches a bearer token to each request to one of its origins.
///
/// The same value serves tower stacks over `http::Request`, `reqwest::Client` as a
/// tower service (feature `reqwest`) and reqwest-middleware (feature
/// `reqwest-middleware`). `P` decides which requests are sent again after the API
/// has rejected the token, `R` which responses reject it.
#[derive(Clone)]
pub struct BearerAuthLayer<P = CloneBody, R = Rejection> {
    pub(crate) tokens: TokenCache,
    pub(crate) origins: Origins,
    pub(crate) policies: Policies<P, R>,
}

impl BearerAuthLayer {
    /// Creates a layer that sends the tokens of this cache to these origins, and
    /// replays a request after a 401 by cloning it ([`CloneBody`]).
    pub fn new(tokens: TokenCache, origins: Origins) -> Self {
        registry::register(&tokens.shared);
        Self {
            tokens,
            origins,
            policies: Policies {
                replay: CloneBody,
                rejection: Rejection::default(),
            },
        }
    }
}

impl<P, R> BearerAuthLayer<P, R> {
    /// Sets the [replay policy](crate::ReplayPolicy). Default: [`CloneBody`].
    #[must_use]
    pub fn replay<Q>(self, policy: Q) -> BearerAuthLayer<Q, R> {
        BearerAuthLayer {
            tokens: self.tokens,
            origins: self.origins,
            policies: Policies {
                replay: policy,
                rejection: self.policies.rejection,
            },
        }
    }

    /// Sets which responses reject the token, in addition to every 401 that is not
    /// about its scope. See [`Rejection`].
    #[must_use]
    pub fn reject_on<K>(self, rejection: Rejection<K>) -> BearerAuthLayer<P, Rejection<K>> {
        BearerAuthLayer {
            tokens: self.tokens,
            origins: self.origins,
            policies: Policies {
                replay: self.policies.replay,
                rejection,
            },
        }
    }
}

impl<S, P: Clone, R: Clone> Layer<S> for BearerAuthLayer<P, R> {
    type Service = BearerAuth<S, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = Config {
            tokens: self.tokens.clone(),
            origins: self.origins.clone(),
            policies: self.policies.clone(),
        };
        BearerAuth::new(inner, config)
    }
}

impl<P, R> fmt::Debug for BearerAuthLayer<P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuthLayer")
            .field("tokens", &self.tokens)
            .field("origins", &self.origins)
            .field("policy", &std::any::type_name::<P>())
            .field("rejection", &std::any::type_name::<R>())
            .finish()
    }
}
