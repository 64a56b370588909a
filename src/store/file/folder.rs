//! An open folder and its files: links are not followed, and what others can write
//! to is refused.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, fsync, mkdirat,
    openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::error::Error;

/// The longest file that is read, in bytes: far more than the longest token response.
pub(super) const MAX_FILE: u64 = 1024 * 1024;

/// The shortest and longest pause between attempts to take a lock that another
/// process has: a blocking wait for the lock would have no timeout.
const PAUSES: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(5));

/// How long to wait for a lock, unless the caller leaves earlier.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A folder that no other user can write to.
pub(super) struct Folder {
    folder: OwnedFd,
    path: PathBuf,
}

/// Distinguishes a file from its copies: the inode, which a file system may reuse,
/// and when that was created, in nanoseconds since 1970; zero if unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) inode: u64,
    pub(super) born: u64,
}

/// The contents of a file, and which file it is.
pub(super) type Contents = (Zeroizing<Vec<u8>>, FileId);

impl FileId {
    fn of(file: &File) -> Option<Self> {
        let metadata = file.metadata().ok()?;
        let born = metadata.created().ok();
        let born = born.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        let nanos = born.and_then(|it| u64::try_from(it.as_nanos()).ok());
        Some(Self {
            inode: metadata.ino(),
            born: nanos.unwrap_or_default(),
        })
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Opening a pipe must not block.
const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
const PRIVATE_FOLDER: Mode = Mode::RWXU;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;

impl Folder {
    /// Opens a folder; `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Error> {
        match openat(rustix::fs::CWD, path, FOLDER, Mode::empty()) {
            Ok(folder) => Self::checked(folder, path.to_owned()).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::opening(path, error)),
        }
    }

    /// Opens a folder, creating it and its parents if there is none.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = Self::open(path)? {
            return Ok(folder);
        }
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700);
        made.create(path)
            .map_err(|error| Error::io("make", path, error))?;
        let gone = || Error::io("open", path, Errno::NOENT);
        Self::open(path)?.ok_or_else(gone)
    }

    /// Opens a folder in this one; `None` if there is none.
    pub(super) fn open_folder(&self, name: &str) -> Result<Option<Self>, Error> {
        let path = self.path.join(name);
        match openat(&self.folder, name, FOLDER, Mode::empty()) {
            Ok(folder) => Self::checked(folder, path).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::opening(&path, error)),
        }
    }

    pub(super) fn open_or_make_folder(&self, name: &str) -> Result<Self, Error> {
        if let Some(folder) = self.open_folder(name)? {
            return Ok(folder);
        }
        let path = self.path.join(name);
        match mkdirat(&self.folder, name, PRIVATE_FOLDER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::io("make", &path, error)),
        }
        let gone = || Error::io("open", &path, Errno::NOENT);
        self.open_folder(name)?.ok_or_else(gone)
    }

    fn checked(folder: OwnedFd, path: PathBuf) -> Result<Self, Error> {
        let stat = fstat(&folder).map_err(|error| Error::io("read", &path, error))?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(Error::refused(&path, "it belongs to another user"));
        }
        if mode(&stat) & WRITABLE_BY_OTHERS != 0 {
            return Err(Error::refused(&path, "other users can write to it"));
        }
        Ok(Self { folder, path })
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file; `None` if there is none.
    fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<File>, Error> {
        let path = || self.path_of(name);
        let file = match openat(&self.folder, name, FILE | flags, PRIVATE) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Error::opening(&path(), error)),
        };
        let stat = fstat(&file).map_err(|error| Error::io("read", &path(), error))?;
        let refused = |why| Err(Error::refused(&path(), why));
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refused("it is no file");
        }
        if stat.st_uid != geteuid().as_raw() {
            return refused("it belongs to another user");
        }
        if mode(&stat) & OPEN_TO_OTHERS != 0 {
            return refused("other users can read it or write to it");
        }
        Ok(Some(file))
    }

    /// Opens a file that another process may remove in the meantime.
    fn open_or_make_file(&self, name: &str, flags: OFlags) -> Result<File, Error> {
        let gone = || Error::io("open", &self.path_of(name), Errno::NOENT);
        let file = self.open_file(name, flags | OFlags::CREATE)?;
        file.ok_or_else(gone)
    }

    /// Reads a file; `None` if there is none. A file that is too long is read in
    /// part.
    pub(super) fn read(&self, name: &str) -> Result<Option<Contents>, Error> {
        let Some(mut file) = self.open_file(name, OFlags::RDONLY)? else {
            return Ok(None);
        };
        let length = file.metadata().map_or(0, |it| it.len()).min(MAX_FILE);
        // Read at once, so that no other buffer keeps a copy.
        let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
        let read = (&mut file).take(length).read_to_end(&mut bytes);
        read.map_err(|error| Error::io("read", &self.path_of(name), error))?;
        Ok(Some((bytes, FileId::of(&file).unwrap_or_default())))
    }

    /// Replaces or creates a file with what is written for it. `temporary` is its
    /// name until it is complete.
    pub(super) fn replace(
        &self,
        (name, temporary): (&str, &str),
        contents: impl FnOnce(FileId) -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        let replaced = self
            .write_new(temporary, contents)
            .and_then(|()| self.rename(temporary, name));
        if replaced.is_err() {
            let _ = self.remove(temporary);
        }
        replaced
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        renameat(&self.folder, from, &self.folder, to)
            .map_err(|error| Error::io("replace", &self.path_of(to), error))
    }

    fn write_new(
        &self,
        name: &str,
        contents: impl FnOnce(FileId) -> Result<Vec<u8>, Error>,
    ) -> Result<(), Error> {
        self.remove(name)?;
        let mut file = self.open_or_make_file(name, OFlags::WRONLY | OFlags::EXCL)?;
        let failed = |error| Error::io("write", &self.path_of(name), error);
        let bytes = contents(FileId::of(&file).unwrap_or_default())?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Error::TooLong);
        }
        file.write_all(&bytes).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// Creates a file with these contents, unless it exists by now.
    pub(super) fn make_once(
        &self,
        (name, temporary): (&str, &str),
        contents: Vec<u8>,
    ) -> Result<(), Error> {
        self.write_new(temporary, |_| Ok(contents))?;
        let flags = AtFlags::empty();
        let made = rustix::fs::linkat(&self.folder, temporary, &self.folder, name, flags);
        self.remove(temporary)?;
        match made {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(Error::io("make", &self.path_of(name), error)),
        }
    }

    /// Makes a rename durable if the machine loses power.
    pub(super) fn sync(&self) -> Result<(), Error> {
        fsync(&self.folder).map_err(|error| Error::io("write", &self.path, error))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io("remove", &self.path_of(name), error)),
        }
    }

    /// Returns the names of the files.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |error| Error::io("list", &self.path, error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().map(str::to_owned));
        }
        Ok(names)
    }

    /// Locks a file, creating it if needed, unless the caller stops waiting. The
    /// lock ends with the returned file, or with the process.
    pub(super) fn lock(&self, name: &str, is_wanted: &dyn Fn() -> bool) -> Result<File, Error> {
        let path = || self.path_of(name);
        let (start, mut pause) = (Instant::now(), PAUSES.0);
        let goes_on = || is_wanted() && start.elapsed() < LOCK_PATIENCE;
        let mut file = self.open_or_make_file(name, OFlags::RDWR)?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The folder may have been emptied meanwhile.
                Ok(()) if self.is_at(&file, name) => return Ok(file),
                Ok(()) => file = self.open_or_make_file(name, OFlags::RDWR)?,
                Err(Errno::WOULDBLOCK | Errno::INTR) if goes_on() => {
                    sleep(pause.mul_f64(0.5 + fastrand::f64()));
                    pause = (2 * pause).min(PAUSES.1);
                }
                Err(Errno::WOULDBLOCK) => return Err(Error::Locked(path())),
                Err(error) => return Err(Error::io("lock", &path(), error)),
            }
        }
    }

    fn is_at(&self, file: &File, name: &str) -> bool {
        let there = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        matches!((fstat(file), there), (Ok(ours), Ok(there)) if ours.st_ino == there.st_ino)
    }

    /// Creates a file that is already locked, replacing the one that may be there. A
    /// process that has locked the old file keeps a lock without meaning.
    /// `temporary` is its name until it is locked.
    pub(super) fn make_locked(&self, (name, temporary): (&str, &str)) -> Result<File, Error> {
        self.remove(temporary)?;
        let file = self.open_or_make_file(temporary, OFlags::RDWR | OFlags::EXCL)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| Error::io("lock", &self.path_of(temporary), error))?;
        self.rename(temporary, name)?;
        Ok(file)
    }

    /// Returns the file, if a process has locked it.
    pub(super) fn locked_by_another(&self, name: &str) -> Result<Option<File>, Error> {
        let Some(file) = self.open_file(name, OFlags::RDWR)? else {
            return Ok(None);
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(file)),
            Err(error) => Err(Error::io("lock", &self.path_of(name), error)),
        }
    }
}

/// Waits until no process holds an exclusive lock on the file.
pub(super) fn wait_until_unlocked(file: &impl AsFd) {
    while let Err(Errno::INTR) = flock(file, FlockOperation::LockShared) {}
}

#[allow(clippy::unnecessary_cast, reason = "16 bits on some systems")]
fn mode(stat: &Stat) -> u32 {
    stat.st_mode as u32
}
