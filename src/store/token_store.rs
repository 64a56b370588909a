//! The operations that a fleet needs from its store.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::payload::{Payload, Stored};

/// Store that the processes of a fleet share.
///
/// Accounts with the same name and another [holder](Account::holder) share nothing:
/// the whole [`Account`] is the key of an entry, and of its encryption. Each method
/// is one atomic step for its account: a script in Redis, a transaction in a
/// database. An error means that the store could not be reached or holds something
/// unexpected; the process then fetches without the store. The caches limit the time
/// of each call ([`store_timeout`](crate::TokenCacheBuilder::store_timeout)).
///
/// A store is correct if it answers every call as
/// [`MemoryStore`](super::MemoryStore) does. A process uses it like this:
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::store::{Account, Acquire, Acquired};
/// use tower_bearer::store::{Completion, MemoryStore, Stored, TokenStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_bearer::BoxError> {
/// let store = MemoryStore::new();
/// let me = Account::new("me").held_by("https://id.example.com/token");
/// let mut acquire = Acquire::default();
/// acquire.lease = Duration::from_secs(15);
/// let Acquired::Lease(lease) = store.acquire(&me, &acquire).await? else {
///     panic!("the store is empty, so there is a lease");
/// };
/// // Another process waits, at most until the lease ends.
/// assert!(matches!(store.acquire(&me, &acquire).await?, Acquired::Busy(_)));
///
/// let mut completion = Completion::of(&lease);
/// completion.token = Some(Stored::new(b"t0ken".to_vec(), Duration::from_secs(3000)));
/// assert!(store.complete(&me, &completion).await?);
/// assert!(matches!(store.acquire(&me, &acquire).await?, Acquired::Token(_)));
/// # Ok(())
/// # }
/// ```
pub trait TokenStore: Send + Sync + 'static {
    /// Requests a token, or the right to fetch one. In this order:
    ///
    /// 1. Returns a token whose generation is above [`Acquire::newer_than`]:
    ///    [`Acquired::Token`]. Deletes any other token if the process says that it
    ///    was [`rejected`](Acquire::rejected).
    /// 2. Returns the last failure of the same [credentials](Acquire::credentials)
    ///    until its time to live is over: [`Acquired::Failure`]. Deletes it instead,
    ///    also after that time, if the process [ignores](Acquire::ignore_failure) it.
    ///    Failures of other credentials have no effect, and stay.
    /// 3. Returns [`Acquired::Busy`] with the remaining time of the current lease, or
    ///    with zero if no lease was asked for, or if this
    ///    [nonce](Acquire::nonce) was [withdrawn](Self::withdraw).
    /// 4. Begins a lease: [`Acquired::Lease`]. Its generation is higher than any
    ///    that the account ever had, even after the store lost its data: a clock in
    ///    milliseconds is a good lower bound. The refresh token is handed over and
    ///    no longer kept, except for [`withdraw`](Self::withdraw). The last failure of
    ///    the same credentials is handed over and stays: a store remembers it for
    ///    [`FAILURE_MEMORY`] after its time to live, so that the next pause can be
    ///    longer.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached or read. No lease may be left behind
    /// then.
    fn acquire(
        &self,
        account: &Account,
        acquire: &Acquire,
    ) -> impl Future<Output = Result<Acquired, BoxError>> + Send;

    /// Writes the result of a lease, ends the lease if it still belongs to its
    /// holder, and notifies the watchers of [`changes`](Self::changes). Returns
    /// `false`, and writes nothing, if the holder of a lease with a higher
    /// generation has written before.
    ///
    /// Times to live are counted from the lease's [start](Completion::started), not
    /// from this call: a part whose time is over by then is treated as absent.
    ///
    /// Each part that is present replaces what the store has, with one exception: a
    /// refresh token without any other part is returned unused, and replaces none. A
    /// failure replaces that of the same [credentials](Completion::credentials), and
    /// a token deletes it. A store keeps the failures of [`FAILURES_KEPT`] sets of
    /// credentials for each account; beyond that, the one with the lowest generation
    /// is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached. The result may have been written
    /// nevertheless.
    fn complete(
        &self,
        account: &Account,
        completion: &Completion,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Withdraws a call of [`acquire`](Self::acquire) with this
    /// [nonce](Acquire::nonce) whose answer did not arrive. If the call began a
    /// lease, the lease ends, and the refresh token that it took is kept again,
    /// unless there is another one by now. If the call is still on its way, it
    /// begins no lease when it arrives: a store remembers the nonce for
    /// [`WITHDRAWAL_MEMORY`].
    ///
    /// # Errors
    ///
    /// Fails if the store cannot be reached. The cache then retries until the lease
    /// would be over anyway.
    fn withdraw(
        &self,
        account: &Account,
        nonce: u64,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Returns a receiver that is notified when something may have changed for this
    /// account, from now on. Too many notifications are better than a late one; a
    /// change without a notification is found about a second later.
    fn changes(&self, account: &Account) -> watch::Receiver<()>;

    /// Returns a problem of this account that the store has noticed and an operator
    /// should know. The default returns `None`.
    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        let _ = account;
        None
    }
}

/// How long a store remembers a failure after its time to live is over.
pub const FAILURE_MEMORY: Duration = Duration::from_secs(86_400);

/// How many sets of credentials a store keeps failures of, for each account.
pub const FAILURES_KEPT: usize = 8;

/// How long a store remembers that a nonce was withdrawn: longer than a call can be
/// on its way.
pub const WITHDRAWAL_MEMORY: Duration = Duration::from_secs(600);

/// Request for a token or a lease. The fingerprint of the credentials is absent from
/// `Debug`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acquire {
    /// The generation of the last token that the process had; 0 for none.
    pub newer_than: u64,
    /// Whether an API rejected that generation.
    pub rejected: bool,
    /// Whether to ignore the last failure of these credentials, because its cause
    /// has been fixed.
    pub ignore_failure: bool,
    /// A fingerprint of the process's credentials, by which failures are kept; 0 if
    /// unknown. It allows passwords to be tried against it, so a store that writes
    /// it outside the process hides it with a keyed hash.
    pub credentials: u64,
    /// How long the fetch may take. Zero reads the store without taking a lease.
    pub lease: Duration,
    /// A number that is unique to this call, by which it can be
    /// [withdrawn](TokenStore::withdraw); 0 if it will not be.
    pub nonce: u64,
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("newer_than", &self.newer_than)
            .field("rejected", &self.rejected)
            .field("ignore_failure", &self.ignore_failure)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Answer to a request for a token or a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// A token newer than the one that the process had.
    Token(Entry),
    /// The last failure of these credentials, which still applies.
    Failure(Entry),
    /// Another process is fetching, for at most this long.
    Busy(Duration),
    /// The right to fetch.
    Lease(Lease),
}

/// Entry that was read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The generation of the lease under which it was written.
    pub generation: u64,
    /// The bytes that were written.
    pub payload: Payload,
    /// The remaining time to live, by the store's own clock.
    pub ttl: Duration,
}

/// Right to fetch, for the requested time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The generation of everything that its holder writes.
    pub generation: u64,
    /// When it began, in milliseconds of the store's own clock.
    pub started: u64,
    /// The refresh token, if there was one, with its remaining time to live.
    pub refresh_token: Option<Stored>,
    /// The last failure of these credentials, whose time to live is over.
    pub failure: Option<Payload>,
}

/// Result of a lease. Without any part it only ends the lease. The fingerprint of
/// the credentials is absent from `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// The generation of the lease.
    pub generation: u64,
    /// When the lease [began](Lease::started). All times to live are counted from
    /// then, however late this is written; 0 counts them from this call.
    pub started: u64,
    /// The new access token.
    pub token: Option<Stored>,
    /// The refresh token for the next renewal.
    pub refresh_token: Option<Stored>,
    /// Why there is no token. Its time to live is how long it applies.
    pub failure: Option<Stored>,
    /// A fingerprint of the credentials that failed, or that the token was fetched
    /// with, as in [`Acquire::credentials`].
    pub credentials: u64,
}

impl Completion {
    /// Creates a completion of this lease without any part.
    pub fn of(lease: &Lease) -> Self {
        Self {
            generation: lease.generation,
            started: lease.started,
            ..Self::default()
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion")
            .field("generation", &self.generation)
            .field("token", &self.token)
            .field("refresh_token", &self.refresh_token)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// [`TokenStore`] as a trait object.
pub(crate) trait DynTokenStore: Send + Sync + 'static {
    fn acquire<'a>(&'a self, account: &'a Account, acquire: &'a Acquire)
    -> BoxFuture<'a, Acquired>;
    fn complete<'a>(
        &'a self,
        account: &'a Account,
        completion: &'a Completion,
    ) -> BoxFuture<'a, bool>;
    fn withdraw<'a>(&'a self, account: &'a Account, nonce: u64) -> BoxFuture<'a, ()>;
    fn changes(&self, account: &Account) -> watch::Receiver<()>;
    fn warning(&self, account: &Account) -> Option<StoreWarning>;
}

impl<S: TokenStore> DynTokenStore for S {
    fn acquire<'a>(
        &'a self,
        account: &'a Account,
        acquire: &'a Acquire,
    ) -> BoxFuture<'a, Acquired> {
        Box::pin(TokenStore::acquire(self, account, acquire))
    }

    fn complete<'a>(
        &'a self,
        account: &'a Account,
        completion: &'a Completion,
    ) -> BoxFuture<'a, bool> {
        Box::pin(TokenStore::complete(self, account, completion))
    }

    fn withdraw<'a>(&'a self, account: &'a Account, nonce: u64) -> BoxFuture<'a, ()> {
        Box::pin(TokenStore::withdraw(self, account, nonce))
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        TokenStore::changes(self, account)
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        TokenStore::warning(self, account)
    }
}

/// Boxed [`TokenStore`], for a choice at run time.
///
/// ```
/// use tower_bearer::store::{BoxTokenStore, MemoryStore};
/// use tower_bearer::{AccessToken, TokenCache};
///
/// let store = BoxTokenStore::new(MemoryStore::new());
/// let source = AccessToken::new("fixed")?;
/// let tokens = TokenCache::builder(source).store(store, "me").build()?;
/// # let _ = tokens;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct BoxTokenStore(Box<dyn DynTokenStore>);

impl BoxTokenStore {
    /// Boxes a store.
    pub fn new(store: impl TokenStore) -> Self {
        Self(Box::new(store))
    }
}

impl TokenStore for BoxTokenStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        self.0.acquire(account, acquire).await
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        self.0.complete(account, completion).await
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        self.0.withdraw(account, nonce).await
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        self.0.changes(account)
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        self.0.warning(account)
    }
}

impl fmt::Debug for BoxTokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxTokenStore").finish_non_exhaustive()
    }
}
