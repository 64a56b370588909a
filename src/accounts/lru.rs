//! The accounts of this process, ordered by their last use.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::DefaultHashBuilder;
use hashlink::linked_hash_map::RawEntryMut;

use crate::accounts::account::Account;
use crate::accounts::shard::{Entry, List, Segment, Shard, Slot, use_front};
use crate::sync::lock;

/// The accounts. At most `capacity` of them have had a token; those that never had
/// one take the free places, or else an eighth of the capacity in addition. The
/// least recently used is evicted first, but none that is in use.
pub(crate) struct AccountLru<K> {
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: DefaultHashBuilder,
    fresh: AtomicUsize,
    proven: AtomicUsize,
    /// How many accounts had their first token since the last turn.
    turned_over: AtomicUsize,
    capacity: usize,
}

/// The shards of a large LRU, which can be used concurrently.
const SHARDS: usize = 32;

/// An LRU with a smaller capacity has one shard, and so evicts in exact order.
const LARGE: usize = 1024;

/// Keys that never had a token get this fraction of the capacity in addition.
const FRESH_SHARE: usize = 8;

/// How many accounts in use are skipped per search for one that is not.
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

    pub(super) fn is_large(&self) -> bool {
        self.shards.len() > 1
    }

    pub(super) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard<K>> {
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
    pub(crate) fn evict_all(&self) -> Vec<Arc<Account>> {
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

    /// Evicts accounts that were last used before `limit` and are not in use at
    /// `tick`.
    pub(crate) fn evict_unused(&self, limit: u64, tick: u64) -> Vec<Arc<Account>> {
        let mut evicted = Vec::new();
        for shard in &self.shards {
            let mut shard = lock(shard);
            for segment in [Segment::Fresh, Segment::Proven] {
                while let Some((slot, entry)) = shard.list(segment).front()
                    && entry.used < limit
                {
                    if slot.account.tokens().is_in_use() {
                        use_front(shard.list(segment), tick);
                    } else {
                        evicted.extend(self.pop(&mut shard, segment));
                    }
                }
            }
        }
        evicted
    }

    /// Evicts the least recently used accounts until the capacity is kept, if
    /// possible: those in use stay, and so does the `newest`.
    pub(crate) fn keep_capacity(
        &self,
        newest: Option<&Arc<Account>>,
        tick: u64,
    ) -> Vec<Arc<Account>> {
        let mut evicted = Vec::new();
        let max_skipped = MAX_SKIPPED / self.shards.len();
        for segment in [Segment::Proven, Segment::Fresh] {
            while self.is_over_capacity(segment) {
                let oldest = self.shards.iter().filter_map(|shard| {
                    let mut locked = lock(shard);
                    let (used, account) = locked.oldest(segment, newest, tick, max_skipped)?;
                    Some((used, account, shard))
                });
                let Some((_, account, shard)) = oldest.min_by_key(|(used, ..)| *used) else {
                    break;
                };
                let mut locked = lock(shard);
                // Unless it was used meanwhile.
                let front = locked.list(segment).front();
                if front.is_some_and(|(slot, _)| Arc::ptr_eq(&slot.account, &account))
                    && !account.tokens().is_in_use()
                {
                    evicted.extend(self.pop(&mut locked, segment));
                }
            }
        }
        evicted
    }

    /// Returns whether so many accounts have come that earlier uses should count
    /// less than later ones.
    pub(crate) fn take_turn(&self) -> bool {
        let turn = (self.capacity / FRESH_SHARE).max(1);
        let turned = self.turned_over.load(Ordering::Relaxed) >= turn;
        if turned {
            self.turned_over.store(0, Ordering::Relaxed);
        }
        turned
    }

    fn pop(&self, shard: &mut Shard<K>, segment: Segment) -> Option<Arc<Account>> {
        let (Slot { account, .. }, _) = shard.list(segment).pop_front()?;
        self.count(segment).fetch_sub(1, Ordering::Relaxed);
        account.evict();
        Some(account)
    }
}

/// An account that was found.
pub(crate) struct Found {
    pub(crate) account: Arc<Account>,
    /// Whether it never had a token, as far as is known.
    pub(crate) is_fresh: bool,
}

impl<K: Hash + Eq> AccountLru<K> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the account of this key, and records a use at this tick.
    pub(crate) fn get(&self, hash: u64, key: &K, tick: u64) -> Option<Found> {
        let mut shard = self.shard(hash);
        for segment in [Segment::Proven, Segment::Fresh] {
            let list = shard.list(segment);
            if let RawEntryMut::Occupied(mut entry) =
                list.raw_entry_mut().from_hash(hash, |it| it.key == *key)
            {
                let account = entry.key().account.clone();
                account.set_used(tick);
                // A large LRU is ordered by tick only: moving an entry writes to
                // its neighbours, which are in the CPU caches of other threads.
                if std::mem::replace(&mut entry.get_mut().used, tick) != tick || !self.is_large() {
                    entry.to_back();
                }
                return Some(Found {
                    account,
                    is_fresh: segment == Segment::Fresh,
                });
            }
        }
        None
    }

    /// Returns the account of this key without recording a use.
    pub(crate) fn peek(&self, hash: u64, key: &K) -> Option<Arc<Account>> {
        let mut shard = self.shard(hash);
        [Segment::Proven, Segment::Fresh]
            .into_iter()
            .find_map(|segment| {
                let list = shard.list(segment);
                let found = list.raw_entry().from_hash(hash, |it| it.key == *key);
                found.map(|(slot, _)| slot.account.clone())
            })
    }

    /// Adds an account, unless there is one with its key. Returns the account that
    /// is there then.
    pub(crate) fn insert(&self, account: Account, hash: u64, key: &K, tick: u64) -> Arc<Account>
    where
        K: Clone,
    {
        if let Some(found) = self.get(hash, key, tick) {
            return found.account;
        }
        let account = Arc::new(account);
        let mut shard = self.shard(hash);
        let list = shard.list(Segment::Proven);
        if let Some((slot, _)) = list.raw_entry().from_hash(hash, |it| it.key == *key) {
            return slot.account.clone();
        }
        let list = shard.list(Segment::Fresh);
        match list.raw_entry_mut().from_hash(hash, |it| it.key == *key) {
            RawEntryMut::Occupied(entry) => entry.key().account.clone(),
            RawEntryMut::Vacant(entry) => {
                self.fresh.fetch_add(1, Ordering::Relaxed);
                account.set_used(tick);
                let slot = Slot {
                    key: key.clone(),
                    hash,
                    account: account.clone(),
                };
                let used = Entry {
                    used: tick,
                    hot: None,
                };
                entry.insert(slot, used);
                account
            }
        }
    }

    /// Records that the account of this key has had a token. Returns it, if this is
    /// the first.
    pub(crate) fn prove(&self, hash: u64, key: &K, tick: u64) -> Option<Arc<Account>> {
        let mut shard = self.shard(hash);
        let list = shard.fresh.raw_entry_mut();
        let (slot, mut entry) = match list.from_hash(hash, |it| it.key == *key) {
            RawEntryMut::Occupied(entry) => entry.remove_entry(),
            RawEntryMut::Vacant(_) => return None,
        };
        let account = slot.account.clone();
        account.set_used(tick);
        entry.used = tick;
        shard.proven.insert(slot, entry);
        self.fresh.fetch_sub(1, Ordering::Relaxed);
        self.proven.fetch_add(1, Ordering::Relaxed);
        self.turned_over.fetch_add(1, Ordering::Relaxed);
        Some(account)
    }

    /// Evicts the account of this key.
    pub(crate) fn remove(&self, hash: u64, key: &K) -> Option<Arc<Account>> {
        let mut shard = self.shard(hash);
        for segment in [Segment::Proven, Segment::Fresh] {
            let list = shard.list(segment);
            if let RawEntryMut::Occupied(entry) =
                list.raw_entry_mut().from_hash(hash, |it| it.key == *key)
            {
                let (Slot { account, .. }, _) = entry.remove_entry();
                self.count(segment).fetch_sub(1, Ordering::Relaxed);
                account.evict();
                return Some(account);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::accounts::Accounts;
    use crate::cache::TokenCache;
    use crate::token::AccessToken;

    /// Returns whether the token of this key is kept with it, valid or not.
    fn keeps(accounts: &Accounts<u8>, key: u8) -> bool {
        let lru = &accounts.shared.lru;
        let hash = lru.hash(&key);
        let mut shard = lru.shard(hash);
        let found = shard
            .proven
            .raw_entry_mut()
            .from_hash(hash, |it| it.key == key);
        match found {
            RawEntryMut::Occupied(entry) => entry.get().hot.is_some(),
            RawEntryMut::Vacant(_) => false,
        }
    }

    async fn kept(accounts: &Accounts<u8>, key: u8) -> TokenCache {
        let tokens = accounts.get_or_create(&key).expect("an account");
        tokens.token().await.expect("a token");
        let account = accounts.account(&key).expect("an account");
        accounts.keep_hot(&key, &account);
        assert!(keeps(accounts, key));
        tokens
    }

    /// No request may come for this account for a long time.
    #[tokio::test]
    async fn what_is_kept_of_a_token_goes_when_the_token_does() {
        let accounts = Accounts::new(|_: u8| async { AccessToken::new("t") });
        let other = kept(&accounts, 0).await;
        let tokens = kept(&accounts, 1).await;
        tokens.invalidate();
        assert!(!keeps(&accounts, 1));
        let tokens = kept(&accounts, 1).await;
        tokens.close();
        assert!(!keeps(&accounts, 1) && keeps(&accounts, 0));
        other.revoke().await.expect("nothing to end");
        assert!(!keeps(&accounts, 0));
    }

    #[tokio::test]
    async fn what_was_read_of_a_token_before_it_went_is_not_kept() {
        let accounts = Accounts::new(|_: u8| async { AccessToken::new("t") });
        let tokens = kept(&accounts, 1).await;
        let hot = tokens.shared.hot_token().expect("a fresh token");
        tokens.invalidate();
        let account = accounts.account(&1).expect("an account");
        accounts.shared.lru.set_hot(&1, &account, hot);
        assert!(!keeps(&accounts, 1));
    }
}
