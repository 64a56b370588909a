//! The files of an account: reading and changing them.

use std::fs::File;

use super::clocks::Clocks;
use super::error::Error;
use super::folder::Folder;
use super::image::{Image, Sealed};
use super::names::{ENTRIES, Names};
use crate::store::account::{Account, StoreWarning};
use crate::store::entries::Time;
use crate::store::seal::{AssociatedData, Kind, Sealer};
use crate::store::token_store::{Acquire, Acquired, Lease};

const DAY_MILLIS: u64 = 86_400_000;

/// The files of an account, as read.
pub(super) struct Files<'a> {
    folder: &'a Folder,
    pub(super) names: &'a Names,
    pub(super) account: &'a Account,
    sealer: &'a Sealer,
    clocks: Clocks,
    pub(super) image: Image,
    pub(super) now: Time,
    /// The file of the lease, if a process holds one.
    pub(super) lease_file: Option<File>,
    /// Whether entries were encrypted with an unknown key.
    lacks_key: bool,
}

impl<'a> Files<'a> {
    /// Reads the files of the account.
    pub(super) fn read(
        folder: &'a Folder,
        names: &'a Names,
        account: &'a Account,
        sealer: &'a Sealer,
    ) -> Result<Self, Error> {
        let clocks = Clocks::now();
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
            // The system released the lock when its holder ended.
            image.entries.lease.take_if(|_| lease_file.is_none());
        }
        Ok(Self {
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

    pub(super) fn acquire(&mut self, acquire: &Acquire) -> Acquired {
        let clock = self.clocks.wall_millis();
        // The clock is a lower bound if the files were lost. A generation more than
        // a day ahead comes from elsewhere.
        let least = match acquire.newer_than < clock.saturating_add(DAY_MILLIS) {
            true => clock.max(acquire.newer_than + 1),
            false => clock,
        };
        self.image.entries.acquire(acquire, self.now, least)
    }

    /// Writes the changes of a lease. The refresh token that it hands over must not
    /// reappear after the machine loses power.
    pub(super) fn write_lease(&self, lease: &Lease) -> Result<(), Error> {
        self.write()?;
        match lease.refresh_token {
            Some(_) => self.folder.sync(),
            None => Ok(()),
        }
    }

    pub(super) fn write(&self) -> Result<(), Error> {
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

    /// Returns the warning about other users of the account's name, if any.
    pub(super) fn warning(&self) -> Option<StoreWarning> {
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

    /// Returns the account of a file, if anything is left of it.
    fn namesake(&self, name: &str, sealed: &Sealed<'_>) -> Option<Account> {
        let place = place(self.names, name);
        let data = associated_data(Kind::Account, &place);
        let account = Account::from_payload(&self.sealer.open(data, sealed.account)?)?;
        let mut image = open(self.sealer, &account, sealed)?;
        image.entries.remove_expired(image.now(&self.clocks));
        (!image.entries.is_empty()).then_some(account)
    }
}

/// Returns what an account's name is sealed for: a file of this name, and all
/// spellings of the account's name.
fn place(names: &Names, file: &str) -> Account {
    Account::new(names.folded.as_str()).held_by(file)
}

fn open(sealer: &Sealer, account: &Account, sealed: &Sealed<'_>) -> Option<Image> {
    let data = associated_data(Kind::Entries, account);
    Image::decode(&sealer.open(data, sealed.entries)?)
}

/// Returns the associated data. Its prefix distinguishes files from Redis.
fn associated_data(kind: Kind, account: &Account) -> AssociatedData<'_> {
    AssociatedData {
        kind,
        generation: 0,
        prefix: "file",
        account,
        credentials: 0,
    }
}
