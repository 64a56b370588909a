//! Permits for calls of token sources, shared by the caches of many accounts.
//!
//! A call holds its permit until it ends, but for a second at most, and not while it
//! waits for another cache's token. A call that takes longer than a second is
//! *slow*, and so is its group: all sources with the same endpoint, or one source
//! whose endpoint is unknown. From then on, until one of its calls is quick again, a
//! group shares a quarter of the permits with all other slow ones. So an endpoint
//! that hangs delays others by a second, once. A quick call proves nothing while
//! slow calls of the group hold a quarter of the permits or more: an endpoint that
//! answers some and lets the others hang is slow.
//!
//! The bound: at most `max` calls are in their first second. In addition there are
//! at most a quarter as many of groups known to be slow, and those that turned out
//! slow while they ran, at most `max` and a quarter for each group.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::sync::lock;

/// A call that takes longer is slow.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The share of the permits for slow groups: one of this many.
const SLOW_SHARE: usize = 4;

/// When more groups than this are slow, all are forgotten: they are found slow again
/// within a second.
const MAX_SLOW_GROUPS: usize = 65_536;

/// The permits.
#[derive(Debug)]
pub(crate) struct Permits {
    max: usize,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Calls in their first second, of groups that are not slow.
    quick: usize,
    /// Calls that are slow, or whose group is.
    slow: usize,
    slow_groups: HashSet<u64>,
    /// How many slow calls of a group are in progress, if any.
    hanging: HashMap<u64, usize>,
    quick_queue: Queue,
    slow_queue: Queue,
    /// Whether calls no longer wait for a permit, and are not made.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Quick,
    Slow,
    /// Not counted.
    Closed,
}

type Grants = Vec<(oneshot::Sender<Permit>, Permit)>;

impl Permits {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            pool: Mutex::default(),
        }
    }

    /// Returns how many calls are in progress.
    #[cfg(feature = "accounts")]
    pub(crate) fn in_progress(&self) -> usize {
        let pool = lock(&self.pool);
        pool.quick + pool.slow
    }

    /// Ends all waits for a permit, now and later.
    #[cfg(feature = "accounts")]
    pub(crate) fn close(&self) {
        let mut pool = lock(&self.pool);
        pool.closed = true;
        let queues = (
            std::mem::take(&mut pool.quick_queue),
            std::mem::take(&mut pool.slow_queue),
        );
        drop(pool);
        // Wakes those that wait.
        drop(queues);
    }

    /// Returns a permit, or a wait for one. A call that resumes is served before
    /// those that have not begun.
    pub(super) fn acquire(
        self: &Arc<Self>,
        group: u64,
        goes_on: bool,
    ) -> Result<Permit, oneshot::Receiver<Permit>> {
        let mut pool = lock(&self.pool);
        if pool.closed {
            return Ok(self.closed_permit(group));
        }
        if let Some(class) = pool.begin(group, self.max) {
            return Ok(self.permit(group, class));
        }
        let (grant, granted) = oneshot::channel();
        let is_slow = pool.slow_groups.contains(&group);
        let queue = match is_slow {
            true => &mut pool.slow_queue,
            false => &mut pool.quick_queue,
        };
        let waiting = Waiting { group, grant };
        match goes_on {
            true => queue.first.push_back(waiting),
            false => queue.push(waiting),
        }
        Err(granted)
    }

    fn permit(self: &Arc<Self>, group: u64, class: Class) -> Permit {
        Permit {
            permits: self.clone(),
            group,
            class,
            hangs: false,
            since: Instant::now(),
        }
    }

    pub(super) fn closed_permit(self: &Arc<Self>, group: u64) -> Permit {
        self.permit(group, Class::Closed)
    }

    /// Changes the pool, and grants the permits that became free.
    fn change(self: &Arc<Self>, f: impl FnOnce(&mut Pool)) {
        let mut pool = lock(&self.pool);
        f(&mut pool);
        let mut grants = Grants::new();
        while pool.quick < self.max
            && let Some(Waiting { group, grant }) = pool.quick_queue.pop()
        {
            pool.quick += 1;
            grants.push((grant, self.permit(group, Class::Quick)));
        }
        while pool.slow < slow_max(self.max)
            && let Some(Waiting { group, grant }) = pool.slow_queue.pop()
        {
            pool.slow += 1;
            grants.push((grant, self.permit(group, Class::Slow)));
        }
        drop(pool);
        for (grant, permit) in grants {
            // If its waiter has gone, the permit is dropped, and so returned.
            let _ = grant.send(permit);
        }
    }
}

fn slow_max(max: usize) -> usize {
    (max / SLOW_SHARE).max(1)
}

impl Pool {
    /// Counts a call of this group, if it may begin.
    fn begin(&mut self, group: u64, max: usize) -> Option<Class> {
        if self.slow_groups.contains(&group) {
            let begins = self.slow < slow_max(max);
            self.slow += usize::from(begins);
            return begins.then_some(Class::Slow);
        }
        let begins = self.quick < max;
        self.quick += usize::from(begins);
        begins.then_some(Class::Quick)
    }

    fn end(&mut self, class: Class) {
        match class {
            Class::Quick => self.quick -= 1,
            Class::Slow => self.slow -= 1,
            Class::Closed => {}
        }
    }

    fn mark_slow(&mut self, group: u64) {
        if self.slow_groups.len() >= MAX_SLOW_GROUPS {
            self.slow_groups.clear();
        }
        if self.slow_groups.insert(group)
            && let Some(waiting) = self.quick_queue.take(group)
        {
            self.slow_queue.put(group, waiting);
        }
    }

    /// Records that a call of this group was quick, unless too many others hang.
    fn mark_quick(&mut self, group: u64, max: usize) {
        let hanging = self.hanging.get(&group).copied().unwrap_or_default();
        if hanging < slow_max(max)
            && self.slow_groups.remove(&group)
            && let Some(waiting) = self.slow_queue.take(group)
        {
            self.quick_queue.put(group, waiting);
        }
    }

    fn hangs(&mut self, group: u64) {
        *self.hanging.entry(group).or_default() += 1;
    }

    fn hangs_no_more(&mut self, group: u64) {
        if let Entry::Occupied(mut hanging) = self.hanging.entry(group) {
            *hanging.get_mut() -= 1;
            if *hanging.get() == 0 {
                hanging.remove();
            }
        }
    }
}

/// The right to make one call. Returned when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Arc<Permits>,
    group: u64,
    class: Class,
    /// Whether the call takes longer than a second.
    hangs: bool,
    pub(super) since: Instant,
}

impl Permit {
    /// Records that the call takes longer than a second.
    pub(super) fn mark_slow(&mut self) {
        let (group, class) = (self.group, self.class);
        let hung = std::mem::replace(&mut self.hangs, true);
        if class == Class::Quick {
            self.class = Class::Slow;
        }
        self.permits.change(|pool| {
            if class == Class::Quick {
                pool.quick -= 1;
                pool.slow += 1;
            }
            if !hung {
                pool.hangs(group);
            }
            pool.mark_slow(group);
        });
    }

    /// Records that the call was made from beginning to end.
    pub(super) fn finish(self) {
        let (group, max) = (self.group, self.permits.max);
        let is_quick = self.since.elapsed() <= SLOW_AFTER;
        self.permits.change(|pool| match is_quick {
            true => pool.mark_quick(group, max),
            // Others may have been quick meanwhile: this is the latest knowledge.
            false => pool.mark_slow(group),
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (group, class, hangs) = (self.group, self.class, self.hangs);
        self.permits.change(|pool| {
            pool.end(class);
            if hangs {
                pool.hangs_no_more(group);
            }
        });
    }
}

/// A call that waits for its permit.
#[derive(Debug)]
struct Waiting {
    group: u64,
    grant: oneshot::Sender<Permit>,
}

/// Calls that wait, by group. The groups get permits in turn; a new group need not
/// wait for all that came before it.
#[derive(Debug, Default)]
struct Queue {
    /// Calls that began before, and resume.
    first: VecDeque<Waiting>,
    waiting: HashMap<u64, VecDeque<Waiting>>,
    /// Groups in `waiting` that have had no permit yet, and the others.
    new: VecDeque<u64>,
    old: VecDeque<u64>,
    turn: u8,
}

impl Queue {
    fn push(&mut self, waiting: Waiting) {
        let group = waiting.group;
        let queue = self.waiting.entry(group).or_default();
        if queue.is_empty() {
            self.new.push_back(group);
        }
        queue.push_back(waiting);
    }

    fn pop(&mut self) -> Option<Waiting> {
        while let Some(waiting) = self.first.pop_front() {
            if !waiting.grant.is_closed() {
                return Some(waiting);
            }
        }
        while let Some(group) = self.next_group() {
            let Some(queue) = self.waiting.get_mut(&group) else {
                continue;
            };
            let mut next = queue.pop_front();
            while next.as_ref().is_some_and(|it| it.grant.is_closed()) {
                next = queue.pop_front();
            }
            match queue.is_empty() {
                true => drop(self.waiting.remove(&group)),
                false => self.old.push_back(group),
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Returns in turn the latest and the first of the new groups, and the first of
    /// the others.
    fn next_group(&mut self) -> Option<u64> {
        self.turn = (self.turn + 1) % 3;
        (self.turn..self.turn + 3).find_map(|turn| match turn % 3 {
            1 => self.new.pop_back(),
            2 => self.new.pop_front(),
            _ => self.old.pop_front(),
        })
    }

    /// Removes all calls of this group that wait.
    fn take(&mut self, group: u64) -> Option<VecDeque<Waiting>> {
        let waiting = self.waiting.remove(&group)?;
        self.new.retain(|it| *it != group);
        self.old.retain(|it| *it != group);
        Some(waiting)
    }

    fn put(&mut self, group: u64, waiting: VecDeque<Waiting>) {
        self.waiting.insert(group, waiting);
        self.old.push_back(group);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn granted(receiver: &mut oneshot::Receiver<Permit>) -> Option<Permit> {
        receiver.try_recv().ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_group_after_the_other_gets_a_permit() {
        let permits = Arc::new(Permits::new(1));
        let first = permits.acquire(7, false).expect("free");
        let mut big: Vec<_> = (0..10)
            .map(|_| permits.acquire(7, false).expect_err("taken"))
            .collect();
        let mut other = permits.acquire(8, false).expect_err("taken");
        let mut again = permits.acquire(9, true).expect_err("taken");
        drop(first);
        drop(granted(&mut again).expect("what goes on is served first"));
        drop(granted(&mut other).expect("the latest group"));
        for waiting in &mut big {
            drop(granted(waiting).expect("in order"));
        }
        assert_eq!(lock(&permits.pool).quick, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_group_has_a_quarter_until_it_is_quick_again() {
        let permits = Arc::new(Permits::new(8));
        let mut slow: Vec<_> = (0..8)
            .map(|_| permits.acquire(7, false).expect("free"))
            .collect();
        slow.iter_mut().for_each(Permit::mark_slow);
        let mut next = permits.acquire(7, false).expect_err("a quarter is two");
        let quick = permits.acquire(8, false).expect("another group");
        drop(slow.drain(..7).collect::<Vec<_>>());
        let held = granted(&mut next).expect("one of two");
        let mut third = permits.acquire(7, false).expect_err("both taken");
        held.finish();
        assert!(granted(&mut third).is_some(), "it was quick");
        drop((slow, quick));
        let pool = lock(&permits.pool);
        assert_eq!((pool.quick, pool.slow), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_answers_some_and_lets_others_hang_stays_slow() {
        let (permits, mut hung) = (Arc::new(Permits::new(8)), Vec::new());
        for _ in 0..5 {
            let begun = std::iter::from_fn(|| permits.acquire(7, false).ok());
            let mut begun: Vec<_> = begun.collect();
            let quick = begun.pop();
            begun.iter_mut().for_each(Permit::mark_slow);
            quick.into_iter().for_each(Permit::finish);
            hung.append(&mut begun);
            assert!(permits.acquire(8, false).is_ok(), "another group");
        }
        assert_eq!(hung.len(), 7, "no more than began before it was found slow");
        hung.truncate(1);
        let quick = permits.acquire(7, false).expect("a quarter is two");
        quick.finish();
        let begun: Vec<_> = std::iter::from_fn(|| permits.acquire(7, false).ok()).collect();
        assert_eq!(begun.len(), 8, "few hang, and it was quick");
        drop(begun);
        drop(hung);
        let pool = lock(&permits.pool);
        assert_eq!((pool.quick, pool.slow), (0, 0));
        assert!(pool.hanging.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_timed_out_is_not_outdone_by_one_that_was_quick_before() {
        let permits = Arc::new(Permits::new(8));
        let mut hung = permits.acquire(7, false).expect("free");
        let quick = permits.acquire(7, false).expect("free");
        advance(2 * SLOW_AFTER).await;
        hung.mark_slow();
        permits
            .acquire(7, false)
            .expect("a quarter is two")
            .finish();
        hung.finish();
        drop(quick);
        let begun: Vec<_> = std::iter::from_fn(|| permits.acquire(7, false).ok()).collect();
        assert_eq!(begun.len(), 2, "a quarter");
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_left_gets_no_permit() {
        let permits = Arc::new(Permits::new(1));
        let first = permits.acquire(7, false).expect("free");
        drop(permits.acquire(7, false).expect_err("taken"));
        let mut next = permits.acquire(8, false).expect_err("taken");
        drop(first);
        assert!(granted(&mut next).is_some());
    }
}
