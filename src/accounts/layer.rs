//! The layer.

use std::fmt;

use tower_layer::Layer;

use crate::accounts::accounts::Accounts;
use crate::accounts::find::ByExtension;
use crate::accounts::service::{AccountsBearerAuth, Config};
use crate::auth::CloneBody;
use crate::origins::Origins;

/// Attaches the token of its account to each request that goes to one of the
/// origins. All that holds for [`BearerAuthLayer`](crate::BearerAuthLayer) holds
/// for each account here.
///
/// `F` [finds](crate::accounts::FindAccount) a request's account, `P` says which
/// requests are sent again after a 401.
#[derive(Clone)]
pub struct AccountsLayer<K, F = ByExtension, P = CloneBody> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policy: P,
    pub(crate) pass: bool,
}

impl<K> AccountsLayer<K> {
    /// A layer that finds the account in the request's extensions
    /// ([`ByExtension`]), and replays a request after a 401 by cloning it
    /// ([`CloneBody`]).
    ///
    /// A request that names no account fails with an error of the kind
    /// [`NoAccount`](crate::TokenErrorKind::NoAccount), unless it is for none of
    /// the origins or has an `Authorization` already.
    pub fn new(accounts: Accounts<K>, origins: Origins) -> Self {
        Self {
            accounts,
            origins,
            find: ByExtension,
            policy: CloneBody,
            pass: false,
        }
    }
}

impl<K, F, P> AccountsLayer<K, F, P> {
    /// The same layer, with another way to find the account of a request.
    ///
    /// ```
    /// use http::Request;
    /// use tower_bearer::{AccessToken, Accounts, AccountsLayer, Origins};
    ///
    /// let accounts = Accounts::new(|tenant: String| async { AccessToken::new(tenant) });
    /// let layer = AccountsLayer::new(accounts, Origins::any_https()).account_by(
    ///     |request: &Request<String>| {
    ///         let tenant = request.headers().get("x-tenant")?.to_str().ok()?;
    ///         Some(tenant.to_owned())
    ///     },
    /// );
    /// # let _ = layer;
    /// ```
    #[must_use]
    pub fn account_by<G>(self, find: G) -> AccountsLayer<K, G, P> {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find,
            policy: self.policy,
            pass: self.pass,
        }
    }

    /// Whether a request that names no account passes untouched instead of
    /// failing. Default: no.
    #[must_use]
    pub fn pass_without_account(mut self, pass: bool) -> Self {
        self.pass = pass;
        self
    }

    /// The same layer with another [replay policy](crate::ReplayPolicy).
    #[must_use]
    pub fn replay<Q>(self, policy: Q) -> AccountsLayer<K, F, Q> {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: self.find,
            policy,
            pass: self.pass,
        }
    }
}

impl<S, K, F: Clone, P: Clone> Layer<S> for AccountsLayer<K, F, P> {
    type Service = AccountsBearerAuth<S, K, F, P>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = Config {
            accounts: self.accounts.clone(),
            origins: self.origins.clone(),
            find: self.find.clone(),
            policy: self.policy.clone(),
            pass: self.pass,
        };
        AccountsBearerAuth::new(inner, config)
    }
}

impl<K, F, P> fmt::Debug for AccountsLayer<K, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsLayer")
            .field("accounts", &self.accounts)
            .field("origins", &self.origins)
            .field("find", &std::any::type_name::<F>())
            .field("policy", &std::any::type_name::<P>())
            .field("pass_without_account", &self.pass)
            .finish()
    }
}
