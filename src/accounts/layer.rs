//! The layer, and how it is set up.

use std::fmt;

use tower_layer::Layer;

use crate::accounts::accounts::Accounts;
use crate::accounts::find::{ByExtension, ByFn, RequestHead};
use crate::accounts::service::{AccountsBearerAuth, Config};
use crate::auth::CloneBody;
use crate::origins::Origins;

/// Attaches to each request that goes to one of the origins the token of the
/// request's account. Everything that holds for
/// [`BearerAuthLayer`](crate::BearerAuthLayer) holds for each account.
///
/// The same value serves tower stacks over `http::Request`, `reqwest::Client` as
/// a tower service (feature `reqwest`, with [`account_by`](Self::account_by)) and
/// reqwest-middleware (feature `reqwest-middleware`); see the
/// [module](crate::accounts) for each. `F`
/// [finds](crate::accounts::FindAccount) the account of a request, `P` says which
/// requests are sent again after a 401.
#[derive(Clone)]
pub struct AccountsLayer<K, F = ByExtension, P = CloneBody> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policy: P,
    pub(crate) pass_without_account: bool,
}

impl<K> AccountsLayer<K> {
    /// Returns a layer that sends the tokens of these accounts to these origins.
    /// It takes the account from the request's extensions ([`ByExtension`]), and
    /// replays a request after a 401 by cloning it ([`CloneBody`]).
    ///
    /// A request that names no account fails with an error of the kind
    /// [`NoAccount`](crate::TokenErrorKind::NoAccount), unless it goes to another
    /// origin or has an `Authorization` header already.
    pub fn new(accounts: Accounts<K>, origins: Origins) -> Self {
        Self {
            accounts,
            origins,
            find: ByExtension,
            policy: CloneBody,
            pass_without_account: false,
        }
    }
}

impl<K, F, P> AccountsLayer<K, F, P> {
    /// Sets how the account of a request is found: by a closure over its method,
    /// URL, headers and extensions. `None` means that the request names no
    /// account.
    ///
    /// ```
    /// use tower_bearer::{AccessToken, Accounts, AccountsLayer, Origins};
    ///
    /// let accounts = Accounts::new(|tenant: String| async { AccessToken::new(tenant) });
    /// let origins = Origins::only(["https://api.example.com"])?;
    /// // The account of https://api.example.com/anna/calls is "anna".
    /// let layer = AccountsLayer::new(accounts, origins)
    ///     .account_by(|request| Some(request.path().split('/').nth(1)?.to_owned()));
    /// # let _ = layer;
    /// # Ok::<_, tower_bearer::ConfigError>(())
    /// ```
    #[must_use]
    pub fn account_by<G>(self, find: G) -> AccountsLayer<K, ByFn<G>, P>
    where
        G: Fn(&RequestHead<'_>) -> Option<K>,
    {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: ByFn(find),
            policy: self.policy,
            pass_without_account: self.pass_without_account,
        }
    }

    /// Sets whether a request that names no account is sent unchanged instead of
    /// failing. Default: `false`.
    #[must_use]
    pub fn pass_without_account(mut self, pass: bool) -> Self {
        self.pass_without_account = pass;
        self
    }

    /// Sets the [replay policy](crate::ReplayPolicy). Default: [`CloneBody`].
    #[must_use]
    pub fn replay<Q>(self, policy: Q) -> AccountsLayer<K, F, Q> {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: self.find,
            policy,
            pass_without_account: self.pass_without_account,
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
            pass_without_account: self.pass_without_account,
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
            .field("pass_without_account", &self.pass_without_account)
            .finish()
    }
}
