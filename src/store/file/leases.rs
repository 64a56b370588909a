//! The leases that this process holds, and those that it waits for.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::folder::wait_until_unlocked;
use crate::store::watchers::Watchers;
use crate::sync::lock;

/// The stack of a thread that waits for a lock, in bytes.
const STACK: usize = 64 * 1024;

/// The locked files of the leases. The operating system releases them when this
/// process ends, however it ends.
#[derive(Default)]
pub(super) struct HeldLeases(Mutex<HashMap<(String, u64), Held>>);

struct Held {
    _file: File,
    ends_at: Instant,
}

impl HeldLeases {
    pub(super) fn insert(&self, (account, generation): (&str, u64), file: File, span: Duration) {
        let now = Instant::now();
        let held = Held {
            _file: file,
            ends_at: now.checked_add(span).unwrap_or(now),
        };
        let mut all = lock(&self.0);
        // A lease whose time is over is no longer held.
        all.retain(|_, it| it.ends_at > now);
        all.insert((account.to_owned(), generation), held);
    }

    pub(super) fn remove(&self, account: &str, generation: u64) {
        lock(&self.0).remove(&(account.to_owned(), generation));
    }
}

/// Threads that wait for the end of other processes' leases, at most one for each
/// lease. They sleep until the operating system wakes them. A task for blocking work
/// would keep the runtime from ending.
#[derive(Default)]
pub(super) struct LeaseWatch {
    /// The inodes of the files that are waited for, by account.
    waiting: Arc<Mutex<HashMap<String, u64>>>,
    pub(super) watchers: Arc<Watchers>,
}

impl LeaseWatch {
    /// Notifies the watchers of the account as soon as the file is unlocked.
    pub(super) fn notify_when_unlocked(&self, account: &str, file: File) {
        let Ok(inode) = file.metadata().map(|it| it.ino()) else {
            return;
        };
        let before = lock(&self.waiting).insert(account.to_owned(), inode);
        if before == Some(inode) {
            return;
        }
        let (waiting, watchers) = (self.waiting.clone(), Arc::downgrade(&self.watchers));
        let name = account.to_owned();
        let wait = move || {
            wait_until_unlocked(&file);
            let mut waiting = lock(&waiting);
            if waiting.get(&name) == Some(&inode) {
                waiting.remove(&name);
            }
            drop(waiting);
            // Not earlier: another file would get its inode.
            drop(file);
            if let Some(watchers) = watchers.upgrade() {
                watchers.notify(name.as_bytes());
            }
        };
        let thread = thread::Builder::new()
            .name("tower-bearer lease".to_owned())
            .stack_size(STACK);
        if thread.spawn(wait).is_err() {
            // The cache will ask again later.
            lock(&self.waiting).remove(account);
        }
    }
}
