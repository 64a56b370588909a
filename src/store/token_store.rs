//! What a fleet asks of its store.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::BoxError;
use crate::store::payload::Payload;

/// A store that the processes of a fleet share.
///
/// Each method is one step that nothing else of the same account comes between:
/// a script in Redis, a transaction in a database. An error says that the store
/// could not be asked, or holds what it should not; the process then goes on by
/// itself. The caches bound the time of each call.
pub trait TokenStore: Send + Sync + 'static {
    /// Asks for a token, or for the right to fetch one. In this order:
    ///
    /// 1. A token with a generation above [`Acquire::newer_than`] is given back:
    ///    [`Acquired::Token`]. One that is not, is deleted if the acquire says that
    ///    it was [`rejected`](Acquire::rejected).
    /// 2. The last failure is given back while it holds: [`Acquired::Failure`].
    ///    It is deleted instead if the acquire [pardons](Acquire::ignore_failure) it.
    /// 3. While a lease runs, or if the acquire is for no time at all, there is
    ///    only the time that is left: [`Acquired::Busy`].
    /// 4. Otherwise a lease begins: [`Acquired::Lease`]. Its generation is above
    ///    all that the account ever had, also where the store has lost its
    ///    memory: a clock in milliseconds is a good lower bound. The refresh
    ///    token is handed over and deleted.
    fn acquire(
        &self,
        account: &str,
        acquire: &Acquire,
    ) -> impl Future<Output = Result<Acquired, BoxError>> + Send;

    /// Writes what the holder of a lease brings, unless a lease with a higher
    /// generation has brought something before: false then. Ends the lease if it
    /// is still the holder's, and tells of the change.
    ///
    /// Each part that is there replaces what the store has, with one exception:
    /// if nothing but a refresh token comes, it is given back unused, and
    /// replaces none. A token deletes the last failure.
    fn complete(
        &self,
        account: &str,
        completion: &Completion,
    ) -> impl Future<Output = Result<bool, BoxError>> + Send;

    /// Tells when something may have changed for this account: from now on, and
    /// rather too often than too late. A change that nobody tells of is found a
    /// little later.
    fn changes(&self, account: &str) -> watch::Receiver<()>;
}

/// What a process asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acquire {
    /// The generation that it has had.
    pub newer_than: u64,
    /// An API rejected that generation.
    pub rejected: bool,
    /// The last failure is not to count: the cause was put right.
    pub ignore_failure: bool,
    /// How long it may take to fetch. Zero only looks.
    pub lease: Duration,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// A token newer than the one it has had.
    Token(Entry),
    /// The failure that still holds.
    Failure(Entry),
    /// Somebody else is fetching, for so long at the most.
    Busy(Duration),
    /// The right to fetch.
    Lease(Lease),
}

/// What the store has kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of the lease that brought it.
    pub generation: u64,
    /// What was kept.
    pub payload: Payload,
    /// How long it is still kept, by the store's own clock.
    pub left: Duration,
}

/// The right to fetch, for the time that was acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The generation of what its holder brings.
    pub generation: u64,
    /// The refresh token, if there was one, and how long it was still kept.
    pub refresh_token: Option<(Payload, Duration)>,
}

/// What the holder of a lease brings, each part with the time for which it is to
/// be kept. Nothing at all only ends the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completion {
    /// Of the lease.
    pub generation: u64,
    /// A new access token.
    pub token: Option<(Payload, Duration)>,
    /// The refresh token that is to be used next.
    pub refresh_token: Option<(Payload, Duration)>,
    /// Why there is no token.
    pub failure: Option<(Payload, Duration)>,
}

impl Completion {
    /// What the holder of this lease brings: nothing yet.
    pub fn of(lease: &Lease) -> Self {
        Self {
            generation: lease.generation,
            ..Self::default()
        }
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// [`TokenStore`] as a trait object.
pub(crate) trait DynTokenStore: Send + Sync + 'static {
    fn acquire<'a>(&'a self, account: &'a str, acquire: &'a Acquire) -> BoxFuture<'a, Acquired>;
    fn complete<'a>(&'a self, account: &'a str, completion: &'a Completion) -> BoxFuture<'a, bool>;
    fn changes(&self, account: &str) -> watch::Receiver<()>;
}

impl<S: TokenStore> DynTokenStore for S {
    fn acquire<'a>(&'a self, account: &'a str, acquire: &'a Acquire) -> BoxFuture<'a, Acquired> {
        Box::pin(TokenStore::acquire(self, account, acquire))
    }

    fn complete<'a>(&'a self, account: &'a str, completion: &'a Completion) -> BoxFuture<'a, bool> {
        Box::pin(TokenStore::complete(self, account, completion))
    }

    fn changes(&self, account: &str) -> watch::Receiver<()> {
        TokenStore::changes(self, account)
    }
}
