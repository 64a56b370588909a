//! The layer and its settings.

use std::fmt;

use tower_layer::Layer;

use crate::accounts::accounts::Accounts;
use crate::accounts::find::{ByExtension, ByFn, RequestHead};
use crate::accounts::service::{AccountsBearerAuth, Config};
use crate::auth::{CloneBody, Policies, Rejection};
use crate::origins::Origins;

/// Layer that attaches the token of the request's account to each request to one of
/// its origins. Everything that holds for
/// [`BearerAuthLayer`](crate::BearerAuthLayer) holds for each account.
///
/// The same value serves tower stacks over `http::Request`, `reqwest::Client` as a
/// tower service (feature `reqwest`, with [`account_by`](Self::account_by)) and
/// reqwest-middleware (feature `reqwest-middleware`); see the
/// [module](crate::accounts) for each. `F` [finds](crate::accounts::FindAccount) the
/// account of a request, `P` decides which requests are sent again after the API has
/// rejected the token, `R` which responses reject it.
#[derive(Clone)]
pub struct AccountsLayer<K, F = ByExtension, P = CloneBody, R = Rejection> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policies: Policies<P, R>,
    pub(crate) pass_without_account: bool,
}

impl<K> AccountsLayer<K> {
    /// Creates a layer that sends the tokens of these accounts to these origins. It
    /// takes the account from the request's extensions ([`ByExtension`]), and
    /// replays a request after a 401 by cloning it ([`CloneBody`]).
    ///
    /// A request that names no account fails with
    /// [`NoAccount`](crate::TokenErrorKind::NoAccount), unless it goes to another
    /// origin or already has an `Authorization` header.
    pub fn new(accounts: Accounts<K>, origins: Origins) -> Self {
        Self {
            accounts,
            origins,
            find: ByExtension,
            policies: Policies {
                replay: CloneBody,
                rejection: Rejection::default(),
            },
            pass_without_account: false,
        }
    }
}

impl<K, F, P, R> AccountsLayer<K, F, P, R> {
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
    pub fn account_by<G>(self, find: G) -> AccountsLayer<K, ByFn<G>, P, R>
    where
        G: Fn(&RequestHead<'_>) -> Option<K>,
    {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: ByFn(find),
            policies: self.policies,
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
    pub fn replay<Q>(self, policy: Q) -> AccountsLayer<K, F, Q, R> {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: self.find,
            policies: Policies {
                replay: policy,
                rejection: self.policies.rejection,
            },
            pass_without_account: self.pass_without_account,
        }
    }

    /// Sets which responses reject the token, in addition to every 401 that is not
    /// about its scope. See [`Rejection`].
    #[must_use]
    pub fn reject_on<Q>(self, rejection: Rejection<Q>) -> AccountsLayer<K, F, P, Rejection<Q>> {
        AccountsLayer {
            accounts: self.accounts,
            origins: self.origins,
            find: self.find,
            policies: Policies {
                replay: self.policies.replay,
                rejection,
            },
            pass_without_account: self.pass_without_account,
        }
    }
}

impl<S, K, F: Clone, P: Clone, R: Clone> Layer<S> for AccountsLayer<K, F, P, R> {
    type Service = AccountsBearerAuth<S, K, F, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = Config {
            accounts: self.accounts.clone(),
            origins: self.origins.clone(),
            find: self.find.clone(),
            policies: self.policies.clone(),
            pass_without_account: self.pass_without_account,
        };
        AccountsBearerAuth::new(inner, config)
    }
}

impl<K, F, P, R> fmt::Debug for AccountsLayer<K, F, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsLayer")
            .field("accounts", &self.accounts)
            .field("origins", &self.origins)
            .field("find", &std::any::type_name::<F>())
            .field("policy", &std::any::type_name::<P>())
            .field("rejection", &std::any::type_name::<R>())
            .field("pass_without_account", &self.pass_without_account)
            .finish()
    }
}
