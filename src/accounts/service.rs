//! The service that the layer makes.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::accounts::account::Account;
use crate::accounts::accounts::Accounts;
use crate::accounts::find::{ByExtension, FindAccount};
use crate::accounts::hot_tokens::FoundToken;
use crate::auth::{
    Attempt, CloneBody, Error, Fast, HttpRequest, HttpResponse, Inner, Policies, Rejection,
    RejectionPolicy, Replay, ReplayPolicy, ResponseFuture, attach_copied, attach_fast, call, fail,
    has_authorization, pass_through, send_after, send_slow,
};
use crate::cache::TokenReader;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::Origins;

/// Service that sends each request with the token of its account, made by
/// [`AccountsLayer`](crate::AccountsLayer).
///
/// Ready when the inner service is, and cheap to clone. Calling the same clone
/// repeatedly for the same account is cheapest.
pub struct AccountsBearerAuth<S, K, F = ByExtension, P = CloneBody, R = Rejection> {
    inner: Inner<S>,
    config: Arc<Config<K, F, P, R>>,
    cached: Option<CachedAccount<K>>,
    /// The cache of the last request's token, where the account is not held.
    last: u64,
}

/// An id that no cache has.
const NONE: u64 = u64::MAX;

/// State that all clones of a service share. On separate cache lines, like that of
/// [`BearerAuth`](crate::BearerAuth).
#[repr(align(128))]
pub(crate) struct Config<K, F, P, R> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policies: Policies<P, R>,
    pub(crate) pass_without_account: bool,
}

/// The account of the last request and this service's token of it, in one struct, so
/// that one account's token is never read for another.
struct CachedAccount<K> {
    key: K,
    account: Arc<Account>,
    reader: TokenReader,
}

impl<S, K, F, P, R> AccountsBearerAuth<S, K, F, P, R> {
    pub(crate) fn new(inner: S, config: Config<K, F, P, R>) -> Self {
        Self {
            inner: Inner::new(inner),
            config: Arc::new(config),
            cached: None,
            last: NONE,
        }
    }

    /// Returns the inner service.
    pub fn inner(&self) -> &S {
        self.inner.get()
    }

    /// Returns the inner service, without the layer.
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
            last: NONE,
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
    fn call(&mut self, mut request: Req) -> Self::Future {
        let config = &*self.config;
        let Some(origin) = request.origin(&config.origins) else {
            return pass_through(&mut self.inner, &config.policies, request);
        };
        let Some(key) = config.find.find(&request) else {
            return self.call_without_account(request);
        };
        // If each request has another account, holding one costs more than it saves.
        let is_cached = self.cached.as_ref().is_some_and(|it| it.key == *key);
        if !is_cached
            && !self.inner.is_lent()
            && let Some(token) = config.accounts.hot(&key, self.last)
        {
            drop(key);
            self.last = token.carried.cache;
            self.cached = None;
            let FoundToken {
                hash,
                header,
                carried,
            } = token;
            let (policies, inner) = (&config.policies, &mut self.inner);
            let fast = attach_copied(policies, || header, carried, &mut request);
            let cache = || config.accounts.cache_of(hash, carried.cache);
            return send_after!(fast, inner, policies, origin, request, cache());
        }
        let cached = match cached_account(&mut self.cached, &config.accounts, &key) {
            Ok(cached) => cached,
            Err(error) => return fail(&mut self.inner, &config.policies, error),
        };
        drop(key);
        cached.reader.suspend(self.inner.is_lent());
        let tokens = &cached.account.tokens().shared;
        let (policies, reader) = (&config.policies, &mut cached.reader);
        let inner = &mut self.inner;
        let Some(fast) = attach_fast(policies, tokens, reader, &mut request) else {
            return send_slow(inner, policies, tokens, reader, origin, request);
        };
        send_after!(fast, inner, policies, origin, request, Some(tokens.clone()))
    }
}

/// Returns the account of this key: the cached one, or that of `accounts`, which is
/// then cached.
#[inline]
fn cached_account<'a, K>(
    cached: &'a mut Option<CachedAccount<K>>,
    accounts: &Accounts<K>,
    key: &K,
) -> Result<&'a mut CachedAccount<K>, TokenError>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    let held = cached.as_ref().filter(|it| it.key == *key);
    if !held.is_some_and(|it| accounts.is_recorded_as_used(&it.account)) {
        let is_held = held.is_some();
        let account = accounts.account(key)?;
        if !is_held {
            accounts.keep_hot(key, &account);
        }
        // Often the same account, whose use had to be recorded.
        if !matches!(cached, Some(cached) if Arc::ptr_eq(&cached.account, &account)) {
            *cached = None;
        }
        return Ok(cached.get_or_insert_with(|| CachedAccount {
            key: key.clone(),
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
