//! A part of the accounts, under a lock of its own.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use hashlink::LinkedHashMap;

use crate::accounts::account::Account;

/// The accounts of a shard.
pub(super) struct Shard<K> {
    /// Those that never had a token.
    pub(super) fresh: List<K>,
    /// Those that had one.
    pub(super) proven: List<K>,
}

/// The least recently used account is in front.
pub(super) type List<K> = LinkedHashMap<Slot<K>, (), BuildHasherDefault<PassThroughHasher>>;

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
    /// in use are used now, and so moved to the back; but not many at a time.
    pub(super) fn oldest(
        &mut self,
        segment: Segment,
        newest: Option<&Arc<Account<K>>>,
        tick: u64,
        max_skipped: usize,
    ) -> Option<Arc<Account<K>>> {
        let list = self.list(segment);
        for _ in 0..list.len().min(max_skipped) {
            let (Slot(account), ()) = list.front()?;
            let is_newest = newest.is_some_and(|newest| Arc::ptr_eq(account, newest));
            if !is_newest && !account.tokens().is_in_use() {
                return Some(account.clone());
            }
            account.set_used(tick);
            let (slot, ()) = list.pop_front()?;
            list.insert(slot, ());
        }
        None
    }
}

/// An account as an entry of a shard. Equal to itself only; a lookup by key
/// compares the account's own key.
pub(super) struct Slot<K>(pub(super) Arc<Account<K>>);

impl<K> PartialEq for Slot<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K> Eq for Slot<K> {}

impl<K> Hash for Slot<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash());
    }
}

/// Returns the hash that the account was stored with.
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
