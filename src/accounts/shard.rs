//! A part of the accounts, under its own lock.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use hashlink::LinkedHashMap;

use crate::accounts::account::Account;
use crate::cache::HotToken;

/// The accounts of a shard.
pub(super) struct Shard<K> {
    /// Accounts that never had a token.
    pub(super) fresh: List<K>,
    /// Accounts that had one.
    pub(super) proven: List<K>,
}

/// The least recently used account is in front.
pub(super) type List<K> = LinkedHashMap<Slot<K>, Entry, BuildHasherDefault<PassThroughHasher>>;

/// The two lists of a shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    Fresh,
    Proven,
}

impl<K> Shard<K> {
    pub(super) fn list(&mut self, segment: Segment) -> &mut List<K> {
        match segment {
            Segment::Fresh => &mut self.fresh,
            Segment::Proven => &mut self.proven,
        }
    }

    /// Returns the least recently used account of a list that may be evicted. Those
    /// in use count as used now, and move to the back, but only a few at a time.
    pub(super) fn oldest(
        &mut self,
        segment: Segment,
        newest: Option<&Arc<Account>>,
        tick: u64,
        max_skipped: usize,
    ) -> Option<(u64, Arc<Account>)> {
        let list = self.list(segment);
        for _ in 0..list.len().min(max_skipped) {
            let (slot, entry) = list.front()?;
            let account = &slot.account;
            let is_newest = newest.is_some_and(|newest| Arc::ptr_eq(account, newest));
            if !is_newest && !account.tokens().is_in_use() {
                return Some((entry.used, account.clone()));
            }
            use_front(list, tick);
        }
        None
    }
}

/// Records a use of the account in front.
pub(super) fn use_front<K>(list: &mut List<K>, tick: u64) {
    if let Some((slot, mut entry)) = list.pop_front() {
        slot.account.set_used(tick);
        entry.used = tick;
        list.insert(slot, entry);
    }
}

/// A key and its account. They are stored together and nowhere else, so that a key
/// can never lead to another's cache. Equal to itself only; a lookup by key compares
/// the key.
pub(super) struct Slot<K> {
    pub(super) key: K,
    pub(super) hash: u64,
    pub(super) account: Arc<Account>,
}

/// What is stored with the key, so that a request finds both at once.
pub(super) struct Entry {
    /// The tick of the last use.
    pub(super) used: u64,
    /// The token in use, for requests that need nothing else of the account.
    pub(super) hot: Option<HotToken>,
}

impl<K> PartialEq for Slot<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.account, &other.account)
    }
}

impl<K> Eq for Slot<K> {}

impl<K> Hash for Slot<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.hash);
    }
}

/// Passes on the hash that the account was stored with.
#[derive(Default)]
pub(super) struct PassThroughHasher(u64);

impl Hasher for PassThroughHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a slot is hashed as one u64");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
