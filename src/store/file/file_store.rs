//! A store in files.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::error::Error;
use super::files::Files;
use super::folder::Folder;
use super::key_source::KeySource;
use super::leases::{HeldLeases, LeaseWatch};
use super::names::Names;
use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::seal::Sealer;
use crate::store::token_store::{Acquire, Acquired, Completion, Lease, TokenStore};
use crate::store::warnings::Warnings;

/// Store in files, for the processes of one machine that run as one user, at the
/// same time or one after the other. Cheap to clone; clones are the same store. On
/// Unix only.
///
/// Built by [`FileStore::user_cache`] or [`FileStore::folder`]. The documentation of
/// the [module](crate::store) explains what it keeps and how it fails.
#[derive(Clone)]
pub struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    key: KeySource,
    /// Created from the key, once that has been read.
    sealer: OnceLock<Sealer>,
    held: HeldLeases,
    watch: LeaseWatch,
    warnings: Warnings,
}

impl FileStore {
    pub(super) fn new(path: PathBuf, key: KeySource) -> Self {
        Self {
            inner: Arc::new(Inner {
                path,
                key,
                sealer: OnceLock::new(),
                held: HeldLeases::default(),
                watch: LeaseWatch::default(),
                warnings: Warnings::new(Arc::default()),
            }),
        }
    }

    /// Calls the store on a thread for blocking work. `f` can check whether the
    /// caller still waits for its answer; an answer that is not taken goes to
    /// `unused`.
    async fn call<R: Send + 'static>(
        &self,
        account: &Account,
        f: impl FnOnce(&Inner, &Account, &dyn Fn() -> bool) -> Result<R, Error> + Send + 'static,
        unused: impl FnOnce(&Inner, &Account, R) + Send + 'static,
    ) -> Result<R, BoxError> {
        let (inner, account) = (Arc::clone(&self.inner), account.clone());
        let (sender, receiver) = oneshot::channel();
        spawn_blocking(move || {
            let answer = f(&inner, &account, &|| !sender.is_closed());
            if let Err(Ok(answer)) = sender.send(answer) {
                unused(&inner, &account, answer);
            }
        });
        Ok(receiver.await.unwrap_or(Err(Error::RuntimeEnded))?)
    }
}

impl TokenStore for FileStore {
    async fn acquire(&self, account: &Account, acquire: &Acquire) -> Result<Acquired, BoxError> {
        let acquire = *acquire;
        self.call(
            account,
            move |inner, account, is_wanted| inner.acquire(account, &acquire, is_wanted),
            |inner, account, acquired| {
                if let Acquired::Lease(lease) = acquired {
                    inner.return_lease(account, lease);
                }
            },
        )
        .await
    }

    async fn complete(&self, account: &Account, completion: &Completion) -> Result<bool, BoxError> {
        let completion = completion.clone();
        self.call(
            account,
            move |inner, account, is_wanted| inner.complete(account, &completion, is_wanted),
            |_, _, _| {},
        )
        .await
    }

    async fn withdraw(&self, account: &Account, nonce: u64) -> Result<(), BoxError> {
        // Calls that will not be withdrawn have no nonce.
        if nonce == 0 {
            return Ok(());
        }
        self.call(
            account,
            move |inner, account, is_wanted| inner.withdraw(account, nonce, is_wanted),
            |_, _, ()| {},
        )
        .await
    }

    fn changes(&self, account: &Account) -> watch::Receiver<()> {
        let names = Names::of(account);
        self.inner.watch.watchers.watch(&names.account)
    }

    fn warning(&self, account: &Account) -> Option<StoreWarning> {
        self.inner.warnings.get(account)
    }
}

impl Inner {
    fn acquire(
        &self,
        account: &Account,
        acquire: &Acquire,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Acquired, Error> {
        let names = Names::of(account);
        // A token that is there needs no lock, and nothing is written for it.
        if let Some(folder) = Folder::open(&self.path)?
            && let Some(folder) = folder.open_folder(&names.folder)?
        {
            let mut files = Files::read(&folder, &names, account, self.sealer(is_wanted)?)?;
            let acquired = files.acquire(acquire);
            if !has_to_write(acquire, &acquired) {
                return Ok(self.answer(files, acquired));
            }
        }
        let folder = Folder::open_or_make(&self.path)?.open_or_make_folder(&names.folder)?;
        let _lock = folder.lock(&names.lock(), is_wanted)?;
        let mut files = Files::read(&folder, &names, account, self.sealer(is_wanted)?)?;
        let acquired = files.acquire(acquire);
        if let Acquired::Lease(lease) = &acquired {
            let file = folder.make_locked((&names.lease(), &names.temporary()))?;
            if let Err(error) = files.write_lease(lease) {
                let _ = folder.remove(&names.lease());
                return Err(error);
            }
            let key = (names.account.as_str(), lease.generation);
            self.held.insert(key, file, acquire.lease);
        } else if has_to_write(acquire, &acquired) {
            files.write()?;
        }
        Ok(self.answer(files, acquired))
    }

    /// Records what the files show besides the answer.
    fn answer(&self, files: Files<'_>, acquired: Acquired) -> Acquired {
        self.warnings.set(files.account, files.warning());
        if let (Acquired::Busy(_), Some(file)) = (&acquired, files.lease_file) {
            let account = &files.names.account;
            self.watch.notify_when_unlocked(account, file);
        }
        acquired
    }

    fn complete(
        &self,
        account: &Account,
        completion: &Completion,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let names = Names::of(account);
        let written = self.write_completion(account, &names, completion, is_wanted);
        // Also after an error: this lease has no other result.
        self.held.remove(&names.account, completion.generation);
        self.watch.watchers.notify(names.account.as_bytes());
        written
    }

    fn write_completion(
        &self,
        account: &Account,
        names: &Names,
        completion: &Completion,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let folder = Folder::open_or_make(&self.path)?.open_or_make_folder(&names.folder)?;
        let _lock = folder.lock(&names.lock(), is_wanted)?;
        let mut files = Files::read(&folder, names, account, self.sealer(is_wanted)?)?;
        let entries = &mut files.image.entries;
        let lease = entries.lease.as_ref().map(|lease| lease.generation);
        let is_holder = lease == Some(completion.generation);
        let written = entries.complete(completion, files.now);
        if written || is_holder {
            files.write()?;
        }
        if is_holder {
            folder.remove(&names.lease())?;
        }
        Ok(written)
    }

    fn withdraw(
        &self,
        account: &Account,
        nonce: u64,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let names = Names::of(account);
        let folder = Folder::open_or_make(&self.path)?.open_or_make_folder(&names.folder)?;
        let _lock = folder.lock(&names.lock(), is_wanted)?;
        let mut files = Files::read(&folder, &names, account, self.sealer(is_wanted)?)?;
        let ended = files.image.entries.withdraw(nonce, files.now);
        files.write()?;
        if let Some(generation) = ended {
            folder.remove(&names.lease())?;
            self.held.remove(&names.account, generation);
            self.watch.watchers.notify(names.account.as_bytes());
        }
        Ok(())
    }

    /// Ends a lease whose caller has left, and keeps its refresh token.
    fn return_lease(&self, account: &Account, unused: Lease) {
        let completion = Completion {
            refresh_token: unused.refresh_token.clone(),
            ..Completion::of(&unused)
        };
        // After an error the lease has no holder any more.
        let _ = self.complete(account, &completion, &|| true);
    }

    fn sealer(&self, is_wanted: &dyn Fn() -> bool) -> Result<&Sealer, Error> {
        if let Some(sealer) = self.sealer.get() {
            return Ok(sealer);
        }
        let sealer = self.key.sealer(&self.path, is_wanted)?;
        Ok(self.sealer.get_or_init(|| sealer))
    }
}

/// Returns whether the answer changes the content of the files.
fn has_to_write(acquire: &Acquire, acquired: &Acquired) -> bool {
    match acquired {
        Acquired::Token(_) => false,
        Acquired::Lease(_) => true,
        _ => acquire.rejected || acquire.ignore_failure,
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}
