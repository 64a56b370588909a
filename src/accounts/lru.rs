//! The accounts of this process, ordered by their last use.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::DefaultHashBuilder;
use hashlink::linked_hash_map::RawEntryMut;

use crate::accounts::account::Account;
use crate::accounts::shard::{List, Segment, Shard, Slot};
use crate::sync::lock;

/// The accounts. At most `capacity` of them have worked; those that never had a
/// token may take the room that is left, or else an eighth of the capacity beside
/// it. The least recently used is evicted first, and none that is in use.
pub(crate) struct AccountLru<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: DefaultHashBuilder,
    fresh: AtomicUsize,
    proven: AtomicUsize,
    /// Accounts that worked for the first time since the last turn.
    turned_over: AtomicUsize,
    capacity: usize,
}

/// The shards of a large LRU, which can be used at the same time.
const SHARDS: usize = 32;

/// An LRU with a smaller capacity has one shard, and so evicts in exact order.
const LARGE: usize = 1024;

/// Keys that have not worked get one of so many places beside the capacity.
const FRESH_SHARE: usize = 8;

/// How many accounts in use are skipped at a time in search of one that is not.
const MAX_SKIPPED: usize = 256;

impl<K> AccountLru<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = if capacity < LARGE { 1 } else { SHARDS };
        let list = || List::with_hasher(BuildHasherDefault::default());
        let shard = || {
            Mutex::new(Shard {
                fresh: list(),
                proven: list(),
            })
        };
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            hasher: DefaultHashBuilder::default(),
            fresh: AtomicUsize::new(0),
            proven: AtomicUsize::new(0),
            turned_over: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.fresh.load(Ordering::Relaxed) + self.proven.load(Ordering::Relaxed)
    }

    fn is_large(&self) -> bool {
        self.shards.len() > 1
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K>> {
        // The hash tables use the lower bits.
        let at = (hash >> 32) as usize % self.shards.len();
        lock(&self.shards[at])
    }

    fn count(&self, segment: Segment) -> &AtomicUsize {
        match segment {
            Segment::Fresh => &self.fresh,
            Segment::Proven => &self.proven,
        }
    }

    fn is_over_capacity(&self, segment: Segment) -> bool {
        let proven = self.proven.load(Ordering::Relaxed);
        match segment {
            Segment::Proven => proven > self.capacity,
            Segment::Fresh => {
                let left = self.capacity.saturating_sub(proven);
                let limit = left.max(self.capacity / FRESH_SHARE).max(1);
                self.fresh.load(Ordering::Relaxed) > limit
            }
        }
    }

    /// Evicts all accounts, in use or not.
    pub(crate) fn evict_all(&self) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            for segment in [Segment::Fresh, Segment::Proven] {
                while let Some(account) = self.pop(&mut shard, segment) {
                    evicted.push(account);
                }
            }
        }
        evicted
    }

    /// Evicts what was last used before `limit` and is not in use now, at `tick`.
    pub(crate) fn evict_unused(&self, limit: u64, tick: u64) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            for segment in [Segment::Fresh, Segment::Proven] {
                while let Some((Slot(account), ())) = shard.list(segment).front()
                    && account.used() < limit
                {
                    if !account.tokens().is_in_use() {
                        evicted.extend(self.pop(&mut shard, segment));
                        continue;
                    }
                    account.set_used(tick);
                    let list = shard.list(segment);
                    if let Some((slot, ())) = list.pop_front() {
                        list.insert(slot, ());
                    }
                }
            }
        }
        evicted
    }

    /// Evicts the least recently used accounts until the capacity is kept, if it
    /// can be: those in use stay, and so does the `newest`.
    pub(crate) fn keep_capacity(
        &self,
        newest: Option<&Arc<Account<K>>>,
        tick: u64,
    ) -> Vec<Arc<Account<K>>> {
        let mut evicted = Vec::new();
        let max_skipped = MAX_SKIPPED / self.shards.len();
        for segment in [Segment::Proven, Segment::Fresh] {
            while self.is_over_capacity(segment) {
                let oldest = self.shards.iter().filter_map(|shard| {
                    let mut locked = lock(shard);
                    let account = locked.oldest(segment, newest, tick, max_skipped)?;
                    Some((account.used(), account, shard))
                });
                let Some((_, account, shard)) = oldest.min_by_key(|(used, ..)| *used) else {
                    break;
                };
                let mut locked = lock(shard);
                // Unless it was used meanwhile.
                let front = locked.list(segment).front();
                if front.is_some_and(|(slot, ())| Arc::ptr_eq(&slot.0, &account))
                    && !account.tokens().is_in_use()
                {
                    evicted.extend(self.pop(&mut locked, segment));
                }
            }
        }
        evicted
    }

    /// Whether so many accounts have come that uses before now should count less than
    /// those from now on.
    pub(crate) fn take_turn(&self) -> bool {
        let turn = (self.capacity / FRESH_SHARE).max(1);
        let turned = self.turned_over.load(Ordering::Relaxed) >= turn;
        if turned {
            self.turned_over.store(0, Ordering::Relaxed);
        }
        turned
    }

    fn pop(&self, shard: &mut Shard<K>, segment: Segment) -> Option<Arc<Account<K>>> {
        let (Slot(account), ()) = shard.list(segment).pop_front()?;
        self.count(segment).fetch_sub(1, Ordering::Relaxed);
        account.evict();
        Some(account)
    }
}

/// An account that was found.
pub(crate) struct Found<K> {
    pub(crate) account: Arc<Account<K>>,
    /// As far as is known it never had a token.
    pub(crate) is_fresh: bool,
}

impl<K: Hash + Eq> AccountLru<K> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the account of this key, and records a use at this tick.
    pub(crate) fn get(&self, hash: u64, key: &K, tick: u64) -> Option<Found<K>> {
        let mut shard = self.shard(hash);
        for segment in [Segment::Proven, Segment::Fresh] {
            let list = shard.list(segment);
            if let RawEntryMut::Occupied(mut entry) =
                list.raw_entry_mut().from_hash(hash, |it| it.0.is(key))
            {
                let account = entry.key().0.clone();
                // A large LRU is ordered by tick only: moving an entry writes to
                // its neighbours, which are in the CPU caches of other threads.
                if !self.is_large() || account.used() != tick {
                    entry.to_back();
                }
                account.set_used(tick);
                return Some(Found {
                    account,
                    is_fresh: segment == Segment::Fresh,
                });
            }
        }
        None
    }

    /// Returns the account of this key without recording a use.
    pub(crate) fn peek(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let mut shard = self.shard(hash);
        [Segment::Proven, Segment::Fresh]
            .into_iter()
            .find_map(|segment| {
                let list = shard.list(segment);
                let found = list.raw_entry().from_hash(hash, |it| it.0.is(key));
                found.map(|(slot, ())| slot.0.clone())
            })
    }

    /// Adds an account, unless there is one with its key. Returns the one that is
    /// there then.
    pub(crate) fn insert(&self, account: Account<K>, key: &K, tick: u64) -> Arc<Account<K>> {
        let hash = account.hash();
        if let Some(found) = self.get(hash, key, tick) {
            return found.account;
        }
        let mut shard = self.shard(hash);
        let list = shard.list(Segment::Proven);
        if let Some((slot, ())) = list.raw_entry().from_hash(hash, |it| it.0.is(key)) {
            return slot.0.clone();
        }
        let list = shard.list(Segment::Fresh);
        match list.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(entry) => entry.key().0.clone(),
            RawEntryMut::Vacant(entry) => {
                let account = Arc::new(account);
                self.fresh.fetch_add(1, Ordering::Relaxed);
                account.set_used(tick);
                entry.insert(Slot(account.clone()), ());
                account
            }
        }
    }

    /// Records that the account of this key has worked. Returns it, if it had not
    /// before.
    pub(crate) fn prove(&self, hash: u64, key: &K, tick: u64) -> Option<Arc<Account<K>>> {
        let mut shard = self.shard(hash);
        let slot = match shard
            .fresh
            .raw_entry_mut()
            .from_hash(hash, |it| it.0.is(key))
        {
            RawEntryMut::Occupied(entry) => entry.remove_entry().0,
            RawEntryMut::Vacant(_) => return None,
        };
        let account = slot.0.clone();
        account.set_used(tick);
        shard.proven.insert(slot, ());
        self.fresh.fetch_sub(1, Ordering::Relaxed);
        self.proven.fetch_add(1, Ordering::Relaxed);
        self.turned_over.fetch_add(1, Ordering::Relaxed);
        Some(account)
    }

    /// Evicts the account of this key.
    pub(crate) fn remove(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let mut shard = self.shard(hash);
        for segment in [Segment::Proven, Segment::Fresh] {
            let list = shard.list(segment);
            if let RawEntryMut::Occupied(entry) =
                list.raw_entry_mut().from_hash(hash, |it| it.0.is(key))
            {
                let (Slot(account), ()) = entry.remove_entry();
                self.count(segment).fetch_sub(1, Ordering::Relaxed);
                account.evict();
                return Some(account);
            }
        }
        None
    }
}
