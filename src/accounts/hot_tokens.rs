//! Tokens stored with their keys: a request that finds one touches nothing else of
//! its account.

use std::hash::Hash;
use std::sync::Arc;

use hashlink::linked_hash_map::RawEntryMut;
use http::HeaderValue;

use crate::accounts::account::Account;
use crate::accounts::lru::AccountLru;
use crate::accounts::shard::Slot;
use crate::cache::{Carried, HotToken, Shared};

/// A token that was found, and the hash of its key.
pub(crate) struct FoundToken {
    pub(crate) hash: u64,
    pub(crate) header: HeaderValue,
    pub(crate) carried: Carried,
}

impl<K> AccountLru<K> {
    /// Returns the cache with this id, whose key has that hash.
    pub(crate) fn cache_of(&self, hash: u64, cache_id: u64) -> Option<Arc<Shared>> {
        let shard = self.shard(hash);
        let list = shard.proven.raw_entry();
        let found = list.from_hash(hash, |it| it.account.tokens().shared.cache_id == cache_id);
        found.map(|(slot, _)| slot.account.tokens().shared.clone())
    }

    /// Drops the hot token of the cache with this id, whose key has that hash, if it
    /// is no longer valid.
    pub(crate) fn end_hot(&self, hash: u64, cache_id: u64) {
        let mut shard = self.shard(hash);
        let list = shard.proven.raw_entry_mut();
        let is_of = |slot: &Slot<K>| slot.account.tokens().shared.cache_id == cache_id;
        if let RawEntryMut::Occupied(mut entry) = list.from_hash(hash, is_of) {
            let hot = &mut entry.get_mut().hot;
            drop(hot.take_if(|hot| !hot.is_valid()));
        }
    }
}

impl<K: Hash + Eq> AccountLru<K> {
    /// Returns the token of this key, if no lookup is due, and records a use at this
    /// tick. Touches nothing of the account but its entry. Does not return the token
    /// of the cache with the id `last`: a repeated request for one account should
    /// hold the account.
    pub(crate) fn hot(&self, key: &K, tick: u64, last: u64) -> Option<FoundToken> {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let list = shard.proven.raw_entry_mut();
        let RawEntryMut::Occupied(mut entry) = list.from_hash(hash, |it| it.key == *key) else {
            return None;
        };
        let found = entry.get_mut();
        // A token that is no longer valid is not kept.
        let hot = found.hot.take_if(|hot| !hot.is_valid());
        drop(hot);
        let hot = found.hot.as_ref()?;
        if hot.carried.cache == last {
            return None;
        }
        let token = FoundToken {
            hash,
            header: hot.header.clone(),
            carried: hot.carried,
        };
        if std::mem::replace(&mut found.used, tick) != tick || !self.is_large() {
            entry.to_back();
        }
        Some(token)
    }

    /// Keeps the token of this key while it is valid. If it no longer is, `end_hot`
    /// may have been called already.
    pub(crate) fn set_hot(&self, key: &K, account: &Arc<Account>, hot: HotToken) {
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let list = shard.proven.raw_entry_mut();
        if let RawEntryMut::Occupied(mut entry) = list.from_hash(hash, |it| it.key == *key)
            && Arc::ptr_eq(&entry.key().account, account)
            && hot.is_valid()
        {
            entry.get_mut().hot = Some(hot);
        }
    }
}
