//! Where the live accounts stand, in the order of their use.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::linked_hash_map::RawEntryMut;
use hashlink::{DefaultHashBuilder, LinkedHashMap};

use crate::accounts::account::Account;

/// The least recently used stands in front. An account's key is in the account
/// and nowhere else, so the two cannot be confused.
type Order<K> = LinkedHashMap<Place<K>, (), BuildHasherDefault<Hashed>>;

/// Where an account stands. Equal to itself only: who looks for a key compares
/// that of the account.
struct Place<K>(Arc<Account<K>>);

impl<K> PartialEq for Place<K> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K> Eq for Place<K> {}

impl<K> Hash for Place<K> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.hash());
    }
}

/// Hands on the hash that an account has.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
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

pub(crate) struct Shelf<K> {
    boards: Box<[Mutex<Order<K>>]>,
    hasher: DefaultHashBuilder,
    count: AtomicUsize,
    capacity: usize,
}

/// So many parts of a large shelf can be used at once.
const BOARDS: usize = 32;

/// A shelf for fewer stays in one part, and in exact order.
const LARGE: usize = 1024;

impl<K> Shelf<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        let boards = if capacity < LARGE { 1 } else { BOARDS };
        let board = || Mutex::new(Order::with_hasher(BuildHasherDefault::default()));
        Self {
            boards: (0..boards).map(|_| board()).collect(),
            hasher: DefaultHashBuilder::default(),
            count: AtomicUsize::new(0),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn is_large(&self) -> bool {
        self.boards.len() > 1
    }

    fn board(&self, hash: u64) -> MutexGuard<'_, Order<K>> {
        // The tables within use the other end of the hash.
        let at = (hash >> 32) as usize % self.boards.len();
        lock(&self.boards[at])
    }

    pub(crate) fn for_each(&self, f: impl Fn(&Account<K>)) {
        for board in &self.boards {
            lock(board).keys().for_each(|place| f(&place.0));
        }
    }

    /// Takes the accounts away for which this holds, on each board from the
    /// least recently used on, up to the first for which it does not.
    pub(crate) fn take_while(&self, over: impl Fn(&Account<K>) -> bool) -> Vec<Arc<Account<K>>> {
        let mut taken = Vec::new();
        for board in &self.boards {
            let mut order = lock(board);
            while order.front().is_some_and(|(place, ())| over(&place.0)) {
                taken.extend(self.pop(&mut order));
            }
        }
        taken
    }

    /// Takes the least recently used accounts away until no more are left than
    /// there may be; `newest` after all others of its time.
    fn take_over_capacity(&self, newest: &Arc<Account<K>>) -> Vec<Arc<Account<K>>> {
        let mut taken = Vec::new();
        while self.len() > self.capacity {
            let oldest = self.boards.iter().filter_map(|board| {
                let order = lock(board);
                let (Place(account), ()) = order.front()?;
                let age = (account.used(), Arc::ptr_eq(account, newest));
                Some((age, account.clone(), board))
            });
            let Some((_, account, board)) = oldest.min_by_key(|(age, ..)| *age) else {
                break;
            };
            let mut order = lock(board);
            // Perhaps it was used meanwhile.
            let still = |(place, ()): (&Place<K>, &())| Arc::ptr_eq(&place.0, &account);
            if order.front().is_some_and(still) {
                taken.extend(self.pop(&mut order));
            }
        }
        taken
    }

    fn pop(&self, order: &mut Order<K>) -> Option<Arc<Account<K>>> {
        let (Place(account), ()) = order.pop_front()?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        account.let_go();
        Some(account)
    }
}

/// What came of [`Shelf::place`].
pub(crate) struct Placed<K> {
    /// The account that stands there now: the new one, or one that came before.
    pub(crate) account: Arc<Account<K>>,
    /// What had to make room for it.
    pub(crate) taken: Vec<Arc<Account<K>>>,
}

impl<K: Hash + Eq> Shelf<K> {
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The account of this key, used at this tick.
    pub(crate) fn find(&self, hash: u64, key: &K, tick: u64) -> Option<Arc<Account<K>>> {
        let mut order = self.board(hash);
        match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(mut entry) => {
                let account = entry.key().0.clone();
                // On a large shelf the order is that of the ticks: what others
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
        let order = self.board(hash);
        let found = order.raw_entry().from_hash(hash, |it| it.0.is(key));
        found.map(|(place, ())| place.0.clone())
    }

    /// Puts an account on the shelf, unless one of its key stands there.
    pub(crate) fn place(&self, account: Account<K>, key: &K, tick: u64) -> Placed<K> {
        let hash = account.hash();
        let mut order = self.board(hash);
        let account = match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(mut entry) => {
                entry.to_back();
                entry.key().0.clone()
            }
            RawEntryMut::Vacant(entry) => {
                let account = Arc::new(account);
                self.count.fetch_add(1, Ordering::Relaxed);
                entry.insert(Place(account.clone()), ());
                account
            }
        };
        account.set_used(tick);
        drop(order);
        let taken = self.take_over_capacity(&account);
        Placed { account, taken }
    }

    pub(crate) fn remove(&self, hash: u64, key: &K) -> Option<Arc<Account<K>>> {
        let mut order = self.board(hash);
        match order.raw_entry_mut().from_hash(hash, |it| it.0.is(key)) {
            RawEntryMut::Occupied(entry) => {
                let (Place(account), ()) = entry.remove_entry();
                self.count.fetch_sub(1, Ordering::Relaxed);
                account.let_go();
                Some(account)
            }
            RawEntryMut::Vacant(_) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
