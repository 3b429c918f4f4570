//! Slots, which limit the number of concurrent requests and tunnels: `max_requests`.
//!
//! All workers share the slots, and a reload changes the limit in place, so that requests in
//! progress also count against the new limit. `endpoint::Endpoint` and `cluster::Cluster` own them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

/// Value that means "no limit". It is greater than any possible number of connections.
const UNLIMITED: u32 = u32::MAX;

/// The number of slots, and how many of them are in use.
#[derive(Debug)]
pub(super) struct Slots {
    limit: AtomicU32,
    /// Number of slots in use. Without a limit it is never accessed, so that workers do not contend
    /// for its cache line.
    used: AtomicU32,
}

/// Whether a request that has been allowed to start occupies a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The request occupies a slot until [`Slots::release`].
    Slot,
    /// The request occupies no slot, because there is no limit.
    Nothing,
}

impl Slots {
    pub(super) fn new(limit: Option<NonZeroU32>) -> Slots {
        Slots {
            limit: AtomicU32::new(limit.map_or(UNLIMITED, NonZeroU32::get)),
            used: AtomicU32::new(0),
        }
    }

    /// Returns the limit, or `None` if there is none.
    pub(super) fn limit(&self) -> Option<NonZeroU32> {
        match self.limit.load(Ordering::Relaxed) {
            UNLIMITED => None,
            limit => NonZeroU32::new(limit),
        }
    }

    /// Changes the limit. Requests in progress that exceed it are not aborted.
    ///
    /// Requests that started while there was no limit are not counted against a new limit.
    pub(super) fn set_limit(&self, limit: Option<NonZeroU32>) {
        let limit = limit.map_or(UNLIMITED, NonZeroU32::get);
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Returns whether a slot is free.
    pub(super) fn is_free(&self) -> bool {
        self.used.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    /// Takes a slot, if one is free.
    pub(super) fn try_take(&self) -> Option<Taken> {
        let Some(limit) = self.limit() else {
            return Some(Taken::Nothing);
        };
        let take = |used: u32| (used < limit.get()).then_some(used + 1);
        // Sequentially consistent with a queue's `waiting`: if a request gets no slot and then
        // waits, the thread that releases a slot sees that the request is waiting.
        let order = Ordering::SeqCst;
        let taken = self.used.fetch_update(order, order, take);
        taken.ok().map(|_| Taken::Slot)
    }

    /// Takes a slot, exceeding the limit if none is free.
    pub(super) fn take(&self) -> Taken {
        if self.limit().is_none() {
            return Taken::Nothing;
        }
        self.used.fetch_add(1, Ordering::SeqCst);
        Taken::Slot
    }

    /// Releases a slot.
    pub(super) fn release(&self) {
        self.used.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(limit)
    }

    /// Returns how many more slots can be taken.
    fn free(slots: &Slots) -> usize {
        let taken = std::iter::from_fn(|| slots.try_take()).count();
        (0..taken).for_each(|_| slots.release());
        taken
    }

    #[test]
    fn a_limit_that_changes_counts_what_is_in_use() {
        // Arguments: the limit, the slots in use, and the new limit; then the number of free slots
        // now, and after all requests have ended.
        let check = |before, used, after, now: usize, ended: usize| {
            let slots = Slots::new(limit(before));
            let taken: Vec<_> = (0..used).filter_map(|_| slots.try_take()).collect();
            assert_eq!(taken, vec![Taken::Slot; used]);
            slots.set_limit(limit(after));
            let what = format!("{before} -> {after} with {used} in use");
            assert_eq!(free(&slots), now, "{what}");
            for _ in taken {
                slots.release();
            }
            assert_eq!(free(&slots), ended, "{what}, which ended");
        };
        check(3, 0, 5, 5, 5);
        check(3, 2, 5, 3, 5);
        check(5, 1, 3, 2, 3);
        check(5, 4, 2, 0, 2);
        check(1, 1, 1, 0, 1);
    }

    #[test]
    fn a_limit_can_come_and_go() {
        let slots = Slots::new(None);
        assert_eq!(slots.try_take(), Some(Taken::Nothing));
        slots.set_limit(limit(1));
        assert_eq!(slots.limit(), limit(1));
        assert_eq!(slots.try_take(), Some(Taken::Slot));
        assert!(!slots.is_free());
        slots.set_limit(None);
        assert_eq!(slots.try_take(), Some(Taken::Nothing));
        slots.release();
        slots.set_limit(limit(2));
        assert_eq!(free(&slots), 2);
    }
}
