//! A store in files.

use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;

use super::clocks::Clocks;
use super::error::Error;
use super::folder::Folder;
use super::image::{ENTRIES, Image, Names, Sealed};
use super::key_source::KeySource;
use super::leases::{HeldLeases, LeaseWatch};
use crate::error::BoxError;
use crate::store::account::{Account, StoreWarning};
use crate::store::entries::Time;
use crate::store::seal::{AssociatedData, Kind, Sealer};
use crate::store::token_store::{Acquire, Acquired, Completion, Lease, TokenStore};
use crate::store::warnings::Warnings;

/// A store in files, for the processes of one machine that run as one user, at the same
/// time or one after the other. Cheap to clone; clones are the same store. On Unix only.
///
/// Built by [`FileStore::user_cache`] or [`FileStore::folder`]. The documentation of the
/// [module](crate::store) explains what it keeps and how it fails.
#[derive(Clone)]
pub struct FileStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    key: KeySource,
    /// Made from the key, once that could be read.
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

    /// Calls the store on a thread for what blocks. `f` is told whether somebody still
    /// waits for its answer; an answer that nobody takes goes to `unused`.
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

const DAY_MILLIS: u64 = 86_400_000;

impl Inner {
    fn acquire(
        &self,
        account: &Account,
        acquire: &Acquire,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Acquired, Error> {
        let names = Names::of(account);
        // A token that is there costs no lock, and nothing is written for it.
        if let Some(folder) = Folder::open(&self.path)?
            && let Some(folder) = folder.open_folder(&names.folder)?
        {
            let mut files = self.files(&folder, &names, account)?;
            let acquired = files.acquire(acquire);
            if !files.has_to_write(acquire, &acquired) {
                return Ok(self.answer(files, acquired));
            }
        }
        let folder = Folder::open_or_make(&self.path)?.open_or_make_folder(&names.folder)?;
        let _lock = folder.lock(&names.lock(), is_wanted)?;
        let mut files = self.files(&folder, &names, account)?;
        let acquired = files.acquire(acquire);
        if let Acquired::Lease(lease) = &acquired {
            let file = folder.make_locked((&names.lease(), &names.temporary()))?;
            if let Err(error) = files.write_lease(lease) {
                let _ = folder.remove(&names.lease());
                return Err(error);
            }
            let key = (names.account.as_str(), lease.generation);
            self.held.insert(key, file, acquire.lease);
        } else if files.has_to_write(acquire, &acquired) {
            files.write()?;
        }
        Ok(self.answer(files, acquired))
    }

    /// Notes what the files show besides the answer.
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
        // Also after an error: nothing else comes of this lease.
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
        let mut files = self.files(&folder, names, account)?;
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
        let mut files = self.files(&folder, &names, account)?;
        let ended = files.image.entries.withdraw(nonce, files.now);
        files.write()?;
        if let Some(generation) = ended {
            folder.remove(&names.lease())?;
            self.held.remove(&names.account, generation);
            self.watch.watchers.notify(names.account.as_bytes());
        }
        Ok(())
    }

    /// Ends a lease whose caller is gone, and keeps its refresh token.
    fn return_lease(&self, account: &Account, unused: Lease) {
        let completion = Completion {
            refresh_token: unused.refresh_token.clone(),
            ..Completion::of(&unused)
        };
        // After an error nobody holds the lease any more.
        let _ = self.complete(account, &completion, &|| true);
    }

    fn sealer(&self) -> Result<&Sealer, Error> {
        if let Some(sealer) = self.sealer.get() {
            return Ok(sealer);
        }
        let sealer = self.key.sealer()?;
        Ok(self.sealer.get_or_init(|| sealer))
    }

    /// Reads what there is of the account.
    fn files<'a>(
        &'a self,
        folder: &'a Folder,
        names: &'a Names,
        account: &'a Account,
    ) -> Result<Files<'a>, Error> {
        let (sealer, clocks) = (self.sealer()?, Clocks::now());
        let mut lacks_key = false;
        let read = folder.read(&names.entries())?;
        let image = read.and_then(|(bytes, file)| {
            let sealed = Sealed::from_bytes(&bytes)?;
            let mut image = open(sealer, account, &sealed);
            lacks_key = image.is_none() && sealer.lacks_key(sealed.entries);
            image.iter_mut().for_each(|it| it.found_in(file));
            image
        });
        let mut image = image.unwrap_or_else(|| Image::empty(clocks));
        let now = image.now(&clocks);
        image.entries.remove_expired(now);
        let mut lease_file = None;
        if image.entries.lease.is_some() {
            lease_file = folder.locked_by_another(&names.lease())?;
            // The system let go of it when its holder ended.
            image.entries.lease.take_if(|_| lease_file.is_none());
        }
        Ok(Files {
            folder,
            names,
            account,
            sealer,
            clocks,
            image,
            now,
            lease_file,
            lacks_key,
        })
    }
}

/// The files of an account, as they were read.
struct Files<'a> {
    folder: &'a Folder,
    names: &'a Names,
    account: &'a Account,
    sealer: &'a Sealer,
    clocks: Clocks,
    image: Image,
    now: Time,
    /// The file of the lease, if a process holds one.
    lease_file: Option<File>,
    /// The entries were encrypted with an unknown key.
    lacks_key: bool,
}

impl Files<'_> {
    fn acquire(&mut self, acquire: &Acquire) -> Acquired {
        let clock = self.clocks.wall_millis();
        // The clock is a lower bound where the files were lost. A generation of more
        // than a day ahead comes from elsewhere.
        let least = match acquire.newer_than < clock.saturating_add(DAY_MILLIS) {
            true => clock.max(acquire.newer_than + 1),
            false => clock,
        };
        self.image.entries.acquire(acquire, self.now, least)
    }

    /// Whether the answer to this changes what the files say.
    fn has_to_write(&self, acquire: &Acquire, acquired: &Acquired) -> bool {
        match acquired {
            Acquired::Token(_) => false,
            Acquired::Lease(_) => true,
            _ => acquire.rejected || acquire.ignore_failure,
        }
    }

    /// Writes what a lease changes. The refresh token that it hands over must not be
    /// there again after the machine lost its power.
    fn write_lease(&self, lease: &Lease) -> Result<(), Error> {
        self.write()?;
        match lease.refresh_token {
            Some(_) => self.folder.sync(),
            None => Ok(()),
        }
    }

    fn write(&self) -> Result<(), Error> {
        let Self {
            sealer, account, ..
        } = *self;
        let names = (&*self.names.entries(), &*self.names.temporary());
        self.folder.replace(names, |file| {
            let image = Image {
                entries: self.image.entries.clone(),
                written_at: self.now,
                clocks: self.clocks,
                file,
            };
            let place = place(self.names, &self.names.account);
            let data = associated_data(Kind::Account, &place);
            let sealed_account = sealer.seal(data, &account.to_payload())?;
            let data = associated_data(Kind::Entries, account);
            let sealed_entries = sealer.seal(data, &image.encode())?;
            let sealed = Sealed {
                account: &sealed_account,
                entries: &sealed_entries,
            };
            Ok(sealed.to_bytes())
        })
    }

    /// What there is to tell of those who use the account's name.
    fn warning(&self) -> Option<StoreWarning> {
        let mut lacks_key = self.lacks_key;
        let own = self.names.entries();
        let names = self.folder.names().unwrap_or_default();
        let others = names.iter().filter(|it| **it != own);
        for name in others.filter_map(|it| it.strip_suffix(ENTRIES)).take(8) {
            let read = self.folder.read(&format!("{name}{ENTRIES}"));
            let Ok(Some((bytes, _))) = read else {
                continue;
            };
            let Some(sealed) = Sealed::from_bytes(&bytes) else {
                continue;
            };
            lacks_key |= self.sealer.lacks_key(sealed.account);
            let warning = self.namesake(name, &sealed);
            let warning = warning.and_then(|other| StoreWarning::of(self.account, &other));
            if warning.is_some() {
                return warning;
            }
        }
        lacks_key.then_some(StoreWarning::UnknownKey)
    }

    /// The account of a file, if something is left of it.
    fn namesake(&self, name: &str, sealed: &Sealed<'_>) -> Option<Account> {
        let place = place(self.names, name);
        let data = associated_data(Kind::Account, &place);
        let account = Account::from_payload(&self.sealer.open(data, sealed.account)?)?;
        let mut image = open(self.sealer, &account, sealed)?;
        image.entries.remove_expired(image.now(&self.clocks));
        (!image.entries.is_empty()).then_some(account)
    }
}

/// Where an account's name is sealed: in a file of this name, for those who use the
/// account's name in whichever spelling.
fn place(names: &Names, file: &str) -> Account {
    Account::new(names.folded.as_str()).held_by(file)
}

fn open(sealer: &Sealer, account: &Account, sealed: &Sealed<'_>) -> Option<Image> {
    let data = associated_data(Kind::Entries, account);
    Image::decode(&sealer.open(data, sealed.entries)?)
}

/// The prefix tells the entries of files from those in Redis.
fn associated_data(kind: Kind, account: &Account) -> AssociatedData<'_> {
    AssociatedData {
        kind,
        generation: 0,
        prefix: "file",
        account,
        credentials: 0,
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}
