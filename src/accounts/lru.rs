//! The accounts of this process, ordered by their last use.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::linked_hash_map::RawEntryMut;
use hashlink::{DefaultHashBuilder, LinkedHashMap};

use crate::cache::TokenCache;
use crate::sync::lock;

/// A key and its cache. They are stored together and nowhere else, so that a
/// key can never lead to the cache of another one.
pub(crate) struct Account<K> {
    key: K,
    hash: u64,
    /// The tick of the last use that the LRU knows of; zero once evicted.
    used: AtomicU64,
    tokens: TokenCache,
}

impl<K> Account<K> {
    /// An account that has not been inserted yet.
    pub(crate) fn new(key: K, hash: u64, tokens: TokenCache) -> Self {
        Self {
            key,
            hash,
            used: AtomicU64::new(0),
            tokens,
        }
    }

    pub(crate) fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Only while the shard of this account is locked.
    fn set_used(&self, tick: u64) {
        if self.used() != tick {
            self.used.store(tick, Ordering::Release);
        }
    }

    /// Only while the shard of this account is locked.
    fn evict(&self) {
        self.used.store(0, Ordering::Release);
    }
}

impl<K: Eq> Account<K> {
    /// Whether this is the account of that key.
    #[inline]
    pub(crate) fn is(&self, key: &K) -> bool {
        self.key == *key
    }
}

/// One shard: the least recently used account is in front.
type Shard<K> = LinkedHashMap<Slot<K>, (), BuildHasherDefault<PassThroughHasher>>;

/// An account as an entry of a shard. Equal to itself only; a lookup by key
/// compares the account's own key.
struct Slot<K>(Arc<Account<K>>);

impl<K> PartialEq for Slot<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K> Eq for Slot<K> {}

impl<K> Hash for Slot<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash);
    }
}

/// Returns the hash that the account was stored with.
#[derive(Default)]
struct PassThroughHasher(u64);

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

/// The accounts, at most `capacity` of them; the least recently used is evicted
/// first.
pub(crate) struct AccountLru<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: DefaultHashBuilder,
    count: AtomicUsize,
    capacity: usize,
}

/// The shards of a large LRU, which can be used at the same time.
const SHARDS: usize = 32;

/// An LRU with a smaller capacity has one shard, and so evicts in exact shard.
const LARGE: usize = 1024;

impl<K> AccountLru<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = if capacity < LARGE { 1 } else { SHARDS };
        let shard = || Mutex::new(Shard::with_hasher(BuildHasherDefault::default()));
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            hasher: DefaultHashBuilder::default(),
            count: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_large(&self) -> bool {
        self.shards.len() > 1
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K>> {
        // The hash tables use the lower bits.
        let at = (hash >> 32) as usize % self.shards.len();
        lock(&self.shards[at])
    }

    pub(crate) fn for_each(&self, f: impl Fn(&Account<K>)) {
        for shard in &self.shards {
            lock(shard).keys().for_each(|slot| f(&slot.0));
        }
    }

    /// Evicts from each shard, least recently used first, until `condition` is
    /// false. Returns what was evicted.
    pub(crate) fn evict_while(
        &self,
        condition: impl Fn(&Account<K>) -> bool,
    ) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            while shard.front().is_some_and(|(slot, ())| condition(&slot.0)) {
                evicted.extend(self.pop(&mut shard));
            }
        }
        evicted
    }

    /// Evicts the least recently used accounts until the capacity is kept;
    /// `newest` after all others of the same tick. Returns what was evicted.
    fn evict_over_capacity(&self, newest: &Arc<Account<K>>) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        while self.len() > self.capacity {
            let oldest = self.shards.iter().filter_map(|shard| {
                let locked = lock(shard);
                let (Slot(account), ()) = locked.front()?;
                let age = (account.used(), Arc::ptr_eq(account, newest));
                Some((age, account.clone(), shard))
            });
            let Some((_, account, shard)) = oldest.min_by_key(|(age, ..)| *age) else {
                break;
            };
            let mut locked = lock(shard);
            // Unless it was used meanwhile.
            let is_still_oldest = |(slot, ()): (&Slot<K>, &())| Arc::ptr_eq(&slot.0, &account);
            if locked.front().is_some_and(is_still_oldest) {
                evicted.extend(self.pop(&mut locked));
            }
        }
        evicted
    }

    fn pop(&self, shard: &mut Shard<K>) -> Option<Arc<Account<K>>> {
        let (Slot(account), ()) = shard.pop_front()?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        account.evict();
        Some(account)
    }
}

/// The result of [`AccountLru::insert`].
pub(crate) struct Inserted<K> {
    /// The account of this key: the new one, or the one that was there already.
    pub(crate) account: Arc<Account<K>>,
    /// The accounts that were evicted to keep the capacity.
    pub(crate) evicted: Vec<Arc<Account<K>>>,
}

impl<K: Hash + Eq> AccountLru<K> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the account of this key, and records a use at this tick.
    pub(crate) fn get(&self, hash: u64, key: &K, tick: u64) -> Option<Arc<Account<K>>> {
        let mut shard = self.shard(hash);
        match shard.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(mut entry) => {
                let account = entry.key().0.clone();
                // A large LRU is ordered by tick only: moving an entry writes to
                // its neighbours, which are in the CPU caches of other threads.
                if !self.is_large() || account.used() != tick {
                    entry.to_back();
                }
                account.set_used(tick);
                Some(account)
            }
            RawEntryMut::Vacant(_) => None,
        }
    }

    /// Returns the account of this key without recording a use.
    pub(crate) fn peek(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let shard = self.shard(hash);
        let found = shard.raw_entry().from_hash(hash, |it| it.0.is(key));
        found.map(|(slot, ())| slot.0.clone())
    }

    /// Adds an account, unless there is one with its key.
    pub(crate) fn insert(&self, account: Account<K>, key: &K, tick: u64) -> Inserted<K> {
        let hash = account.hash;
        let mut shard = self.shard(hash);
        let account = match shard.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(mut entry) => {
                entry.to_back();
                entry.key().0.clone()
            }
            RawEntryMut::Vacant(entry) => {
                let account = Arc::new(account);
                self.count.fetch_add(1, Ordering::Relaxed);
                entry.insert(Slot(account.clone()), ());
                account
            }
        };
        account.set_used(tick);
        drop(shard);
        let evicted = self.evict_over_capacity(&account);
        Inserted { account, evicted }
    }

    /// Evicts the account of this key.
    pub(crate) fn remove(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let mut shard = self.shard(hash);
        match shard.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(entry) => {
                let (Slot(account), ()) = entry.remove_entry();
                self.count.fetch_sub(1, Ordering::Relaxed);
                account.evict();
                Some(account)
            }
            RawEntryMut::Vacant(_) => None,
        }
    }
}
