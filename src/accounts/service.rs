//! The service that the layer makes.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::accounts::account::Account;
use crate::accounts::accounts::Accounts;
use crate::accounts::find::{ByExtension, FindAccount};
use crate::auth::{
    CloneBody, Error, HttpRequest, HttpResponse, Inner, Policies, Rejection, RejectionPolicy,
    ReplayPolicy, ResponseFuture, call, fail, has_authorization, pass_through, send,
};
use crate::cache::TokenReader;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::Origins;

/// Sends each request with the token of its account; made by
/// [`AccountsLayer`](crate::AccountsLayer).
///
/// Ready when the inner service is, and cheap to clone. Calling the same clone
/// repeatedly for the same account is cheapest.
pub struct AccountsBearerAuth<S, K, F = ByExtension, P = CloneBody, R = Rejection> {
    inner: Inner<S>,
    config: Arc<Config<K, F, P, R>>,
    cached: Option<CachedAccount<K>>,
}

/// What all clones of a service share. On cache lines of its own, as that of
/// [`BearerAuth`](crate::BearerAuth).
#[repr(align(128))]
pub(crate) struct Config<K, F, P, R> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policies: Policies<P, R>,
    pub(crate) pass_without_account: bool,
}

/// The account of the last request, and the token that this service keeps of it:
/// in one struct, so that one account's token is never read for another.
struct CachedAccount<K> {
    account: Arc<Account<K>>,
    reader: TokenReader,
}

impl<S, K, F, P, R> AccountsBearerAuth<S, K, F, P, R> {
    pub(crate) fn new(inner: S, config: Config<K, F, P, R>) -> Self {
        Self {
            inner: Inner::new(inner),
            config: Arc::new(config),
            cached: None,
        }
    }

    /// Returns the inner service.
    pub fn inner(&self) -> &S {
        self.inner.get()
    }

    /// Returns the inner service and drops the layer.
    pub fn into_inner(self) -> S {
        self.inner.into_inner()
    }
}

impl<S: Clone, K, F, P, R> Clone for AccountsBearerAuth<S, K, F, P, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: self.config.clone(),
            cached: None,
        }
    }
}

impl<S, K, F, P, R, Req> Service<Req> for AccountsBearerAuth<S, K, F, P, R>
where
    S: Service<Req> + Clone,
    S::Response: HttpResponse,
    K: Clone + Eq + Hash + Send + Sync + 'static,
    F: FindAccount<Req, K>,
    P: ReplayPolicy<Req> + Clone,
    R: RejectionPolicy<S::Response>,
    Req: HttpRequest,
{
    type Response = R::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, P, Req, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let config = &*self.config;
        let Some(origin) = request.origin(&config.origins) else {
            return pass_through(&mut self.inner, &config.policies, request);
        };
        let Some(key) = config.find.find(&request) else {
            return self.call_without_account(request);
        };
        let cached = match cached_account(&mut self.cached, &config.accounts, &key) {
            Ok(cached) => cached,
            Err(error) => return fail(&mut self.inner, &config.policies, error),
        };
        drop(key);
        cached.reader.suspend(self.inner.is_lent());
        let tokens = &cached.account.tokens().shared;
        send(
            &mut self.inner,
            &config.policies,
            tokens,
            &mut cached.reader,
            origin,
            request,
        )
    }
}

/// Returns the account of this key: the cached one, or else that of `accounts`,
/// which is then cached.
#[inline]
fn cached_account<'a, K>(
    cached: &'a mut Option<CachedAccount<K>>,
    accounts: &Accounts<K>,
    key: &K,
) -> Result<&'a mut CachedAccount<K>, TokenError>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    let is_current =
        |account: &Account<K>| account.is(key) && accounts.is_recorded_as_used(account);
    if !cached.as_ref().is_some_and(|it| is_current(&it.account)) {
        let account = accounts.account(key)?;
        // Often the same one, whose use had to be recorded.
        if !matches!(cached, Some(cached) if Arc::ptr_eq(&cached.account, &account)) {
            *cached = None;
        }
        return Ok(cached.get_or_insert_with(|| CachedAccount {
            account,
            reader: TokenReader::default(),
        }));
    }
    cached.as_mut().ok_or_else(no_account)
}

impl<S, K, F, P, R> AccountsBearerAuth<S, K, F, P, R> {
    #[inline(never)]
    fn call_without_account<Req>(&mut self, request: Req) -> ResponseFuture<S, P, Req, R>
    where
        S: Service<Req> + Clone,
        S::Response: HttpResponse,
        P: ReplayPolicy<Req>,
        R: Clone,
        Req: HttpRequest,
    {
        if self.config.pass_without_account || has_authorization(&request) {
            return call(&mut self.inner, &self.config.policies, request, false);
        }
        fail(&mut self.inner, &self.config.policies, no_account())
    }
}

pub(crate) fn no_account() -> TokenError {
    TokenError::new(
        TokenErrorKind::NoAccount,
        "the request names no account, so it is unknown whose token it needs",
    )
}

impl<S: fmt::Debug, K, F, P, R> fmt::Debug for AccountsBearerAuth<S, K, F, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsBearerAuth")
            .field("inner", self.inner.get())
            .field("accounts", &self.config.accounts)
            .field("origins", &self.config.origins)
            .finish()
    }
}
