//! Where the live accounts stand, in the order of their use.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::linked_hash_map::RawEntryMut;
use hashlink::{DefaultHashBuilder, LinkedHashMap};

use crate::accounts::account::Account;

/// The least recently used stands in front. An account's key is in the account
/// and nowhere else, so the two cannot be confused.
type Order<K> = LinkedHashMap<Slot<K>, (), BuildHasherDefault<PassThroughHasher>>;

/// Where an account stands. Equal to itself only: who looks for a key compares
/// that of the account.
struct Slot<K>(Arc<Account<K>>);

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

/// Hands on the hash that an account has.
#[derive(Default)]
struct PassThroughHasher(u64);

impl Hasher for PassThroughHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a place is hashed, which is one number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) struct AccountLru<K> {
    shards: Box<[Mutex<Order<K>>]>,
    hasher: DefaultHashBuilder,
    count: AtomicUsize,
    capacity: usize,
}

/// So many parts of a large lru can be used at once.
const SHARDS: usize = 32;

/// A lru for fewer stays in one part, and in exact order.
const LARGE: usize = 1024;

impl<K> AccountLru<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = if capacity < LARGE { 1 } else { SHARDS };
        let shard = || Mutex::new(Order::with_hasher(BuildHasherDefault::default()));
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

    fn shard(&self, hash: u64) -> MutexGuard<'_, Order<K>> {
        // The tables within use the other end of the hash.
        let at = (hash >> 32) as usize % self.shards.len();
        lock(&self.shards[at])
    }

    pub(crate) fn for_each(&self, f: impl Fn(&Account<K>)) {
        for shard in &self.shards {
            lock(shard).keys().for_each(|slot| f(&slot.0));
        }
    }

    /// Takes the accounts away for which this holds, on each shard from the
    /// least recently used on, up to the first for which it does not.
    pub(crate) fn take_while(&self, over: impl Fn(&Account<K>) -> bool) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        for shard in &self.shards {
            let mut order = lock(shard);
            while order.front().is_some_and(|(slot, ())| over(&slot.0)) {
                evicted.extend(self.pop(&mut order));
            }
        }
        evicted
    }

    /// Takes the least recently used accounts away until no more are left than
    /// there may be; `newest` after all others of its time.
    fn take_over_capacity(&self, newest: &Arc<Account<K>>) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        while self.len() > self.capacity {
            let oldest = self.shards.iter().filter_map(|shard| {
                let order = lock(shard);
                let (Slot(account), ()) = order.front()?;
                let age = (account.used(), Arc::ptr_eq(account, newest));
                Some((age, account.clone(), shard))
            });
            let Some((_, account, shard)) = oldest.min_by_key(|(age, ..)| *age) else {
                break;
            };
            let mut order = lock(shard);
            // Perhaps it was used meanwhile.
            let still = |(slot, ()): (&Slot<K>, &())| Arc::ptr_eq(&slot.0, &account);
            if order.front().is_some_and(still) {
                evicted.extend(self.pop(&mut order));
            }
        }
        evicted
    }

    fn pop(&self, order: &mut Order<K>) -> Option<Arc<Account<K>>> {
        let (Slot(account), ()) = order.pop_front()?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        account.evict();
        Some(account)
    }
}

/// What came of [`AccountLru::place`].
pub(crate) struct Inserted<K> {
    /// The account that stands there now: the new one, or one that came before.
    pub(crate) account: Arc<Account<K>>,
    /// What had to make room for it.
    pub(crate) evicted: Vec<Arc<Account<K>>>,
}

impl<K: Hash + Eq> AccountLru<K> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The account of this key, used at this tick.
    pub(crate) fn find(&self, hash: u64, key: &K, tick: u64) -> Option<Arc<Account<K>>> {
        let mut order = self.shard(hash);
        match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(mut entry) => {
                let account = entry.key().0.clone();
                // On a large lru the order is that of the ticks: what others
                // stand beside is memory that other threads write.
                if !self.is_large() || account.used() != tick {
                    entry.to_back();
                }
                account.set_used(tick);
                Some(account)
            }
            RawEntryMut::Vacant(_) => None,
        }
    }

    /// The account of this key, as it is.
    pub(crate) fn peek(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let order = self.shard(hash);
        let found = order.raw_entry().from_hash(hash, |it| it.0.is(key));
        found.map(|(slot, ())| slot.0.clone())
    }

    /// Puts an account on the lru, unless one of its key stands there.
    pub(crate) fn insert(&self, account: Account<K>, key: &K, tick: u64) -> Inserted<K> {
        let hash = account.hash();
        let mut order = self.shard(hash);
        let account = match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
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
        drop(order);
        let evicted = self.take_over_capacity(&account);
        Inserted { account, evicted }
    }

    pub(crate) fn remove(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let mut order = self.shard(hash);
        match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
