//! The service.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use tower_service::Service;

use crate::accounts::account::Account;
use crate::accounts::find::{ByExtension, FindAccount};
use crate::accounts::handle::Accounts;
use crate::auth::{
    CloneBody, Error, ReplayPolicy, RequestMessage, ResponseFuture, ResponseMessage, send,
    send_without,
};
use crate::cache::Reader;
use crate::error::{TokenError, TokenErrorKind};
use crate::origins::Origins;

/// A service whose requests carry the token of their account; made by
/// [`AccountsLayer`](crate::AccountsLayer).
///
/// Ready when the inner service is, and cheap to clone. One that is called many
/// times for the same account in a row is cheaper still.
pub struct AccountsAuth<S, K, F = ByExtension, P = CloneBody> {
    inner: S,
    config: Arc<Config<K, F, P>>,
    seat: Option<Seat<K>>,
}

/// What all clones of a service share.
#[repr(align(128))]
pub(crate) struct Config<K, F, P> {
    pub(crate) accounts: Accounts<K>,
    pub(crate) origins: Origins,
    pub(crate) find: F,
    pub(crate) policy: P,
    pub(crate) pass: bool,
}

/// The account of the last request, and what this service keeps of its token:
/// together, so that nobody reads the one for the other.
struct Seat<K> {
    account: Arc<Account<K>>,
    reader: Reader,
}

impl<S, K, F, P> AccountsAuth<S, K, F, P> {
    pub(crate) fn new(inner: S, config: Config<K, F, P>) -> Self {
        Self {
            inner,
            config: Arc::new(config),
            seat: None,
        }
    }

    /// The inner service.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K, F, P> Clone for AccountsAuth<S, K, F, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            config: self.config.clone(),
            seat: None,
        }
    }
}

impl<S, K, F, P, Req> Service<Req> for AccountsAuth<S, K, F, P>
where
    S: Service<Req> + Clone,
    S::Response: ResponseMessage,
    K: Clone + Eq + Hash + Send + Sync + 'static,
    F: FindAccount<Req, K>,
    P: ReplayPolicy<Req> + Clone,
    Req: RequestMessage,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let config = &*self.config;
        if !request.is_for(&config.origins) {
            return send_without(&mut self.inner, request);
        }
        let Some(key) = config.find.find(&request) else {
            return self.call_without_account(request);
        };
        let seat = match seat(&mut self.seat, &config.accounts, &key) {
            Ok(seat) => seat,
            Err(error) => return ResponseFuture::fail(error),
        };
        drop(key);
        let shared = &seat.account.tokens().shared;
        send(
            &mut self.inner,
            &config.policy,
            shared,
            &mut seat.reader,
            request,
        )
    }
}

/// The seat of this key's account, which may have another one's before.
#[inline]
fn seat<'a, K>(
    seat: &'a mut Option<Seat<K>>,
    accounts: &Accounts<K>,
    key: &K,
) -> Result<&'a mut Seat<K>, TokenError>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
{
    let taken = seat.as_ref().map(|seat| &*seat.account);
    if !taken.is_some_and(|account| account.is(key) && accounts.knows_the_use_of(account)) {
        let account = accounts.account(key)?;
        // After a while it is the same one.
        if !matches!(seat, Some(seat) if Arc::ptr_eq(&seat.account, &account)) {
            *seat = None;
        }
        return Ok(seat.get_or_insert_with(|| Seat {
            account,
            reader: Reader::default(),
        }));
    }
    seat.as_mut().ok_or_else(no_account)
}

impl<S, K, F, P> AccountsAuth<S, K, F, P> {
    #[inline(never)]
    fn call_without_account<Req>(&mut self, request: Req) -> ResponseFuture<S, P, Req>
    where
        S: Service<Req>,
        Req: RequestMessage,
    {
        if self.config.pass || request.headers().contains_key(AUTHORIZATION) {
            return ResponseFuture::pass(self.inner.call(request));
        }
        ResponseFuture::fail(no_account())
    }
}

pub(crate) fn no_account() -> TokenError {
    TokenError::new(
        TokenErrorKind::NoAccount,
        "the request names no account, so nobody can say whose token it needs",
    )
}

impl<S: fmt::Debug, K, F, P> fmt::Debug for AccountsAuth<S, K, F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountsAuth")
            .field("inner", &self.inner)
            .field("accounts", &self.config.accounts)
            .field("origins", &self.config.origins)
            .finish()
    }
}
