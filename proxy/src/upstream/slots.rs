//! How many requests and tunnels a server gets at once: `max_requests`.
//!
//! Shared by all workers, and changed in place by a reload, so that what is in progress
//! counts against the new limit too. Owned by `endpoint::Server`.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Semaphore;

/// The limit of a server that has none; more than there can be connections.
const UNLIMITED: u32 = u32::MAX;

/// A server's slots, in use and free.
#[derive(Debug)]
pub(super) struct Slots {
    limit: AtomicU32,
    /// Free slots. Without a limit nobody touches it, so that workers share no cache line.
    free: Semaphore,
    /// Slots in use beyond a limit that was lowered: so many are not given back.
    excess: AtomicU32,
}

/// Whether a request that may begin occupies a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It does, until [`Slots::release`].
    Slot,
    /// The server has no limit.
    Nothing,
}

impl Slots {
    pub(super) fn new(limit: Option<NonZeroU32>) -> Slots {
        let limit = limit.map_or(UNLIMITED, NonZeroU32::get);
        Slots {
            limit: AtomicU32::new(limit),
            free: Semaphore::new(limit as usize),
            excess: AtomicU32::new(0),
        }
    }

    /// None if the server has no limit.
    pub(super) fn limit(&self) -> Option<NonZeroU32> {
        match self.limit.load(Ordering::Relaxed) {
            UNLIMITED => None,
            limit => NonZeroU32::new(limit),
        }
    }

    /// Changes the limit. One thread at a time may call it.
    ///
    /// Requests that began while there was no limit are not counted against a new one.
    pub(super) fn set_limit(&self, limit: Option<NonZeroU32>) {
        let limit = limit.map_or(UNLIMITED, NonZeroU32::get);
        let before = self.limit.swap(limit, Ordering::Relaxed);
        if let Some(more) = limit.checked_sub(before) {
            let pay = |excess: u32| Some(excess.saturating_sub(more));
            let relaxed = Ordering::Relaxed;
            let excess = self.excess.fetch_update(relaxed, relaxed, pay);
            let paid = excess.unwrap_or_default().min(more);
            self.free.add_permits((more - paid) as usize);
        } else {
            let fewer = before - limit;
            let forgotten = self.free.forget_permits(fewer as usize);
            // At most `fewer` are forgotten.
            let forgotten = u32::try_from(forgotten).unwrap_or(fewer);
            self.excess.fetch_add(fewer - forgotten, Ordering::Relaxed);
        }
    }

    /// Whether a request could begin now.
    pub(super) fn is_free(&self) -> bool {
        self.limit().is_none() || self.free.available_permits() > 0
    }

    /// Takes a slot, if one is free.
    pub(super) fn try_take(&self) -> Option<Taken> {
        if self.limit().is_none() {
            return Some(Taken::Nothing);
        }
        self.free.try_acquire().ok()?.forget();
        Some(Taken::Slot)
    }

    /// Waits in line for a slot.
    ///
    /// # Cancel safety
    /// Safe: the place in the line is given up.
    pub(super) async fn take(&self) -> Taken {
        // The semaphore is never closed; if it were, the request would go on without a slot.
        let Ok(permit) = self.free.acquire().await else {
            return Taken::Nothing;
        };
        permit.forget();
        Taken::Slot
    }

    /// Gives a slot back.
    pub(super) fn release(&self) {
        let pay = |excess: u32| excess.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        if self.excess.fetch_update(relaxed, relaxed, pay).is_err() {
            self.free.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(limit: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(limit)
    }

    /// How many more can be taken.
    fn free(slots: &Slots) -> usize {
        let taken = std::iter::from_fn(|| slots.try_take()).count();
        (0..taken).for_each(|_| slots.release());
        taken
    }

    #[test]
    fn a_limit_that_changes_counts_what_is_in_use() {
        // Limit, in use, the new limit; then free slots at once and once all have ended.
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
    fn a_limit_that_is_lowered_and_raised_again_owes_nothing() {
        let slots = Slots::new(limit(4));
        for _ in 0..4 {
            slots.try_take();
        }
        slots.set_limit(limit(1));
        slots.set_limit(limit(3));
        slots.release();
        assert_eq!(free(&slots), 0);
        slots.release();
        assert_eq!(free(&slots), 1);
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

    #[tokio::test]
    async fn a_limit_that_is_lifted_wakes_the_queue() {
        let slots = Slots::new(limit(1));
        slots.try_take();
        let waiting = async { slots.take().await };
        let lifting = async { slots.set_limit(None) };
        assert_eq!(tokio::join!(waiting, lifting).0, Taken::Slot);
    }
}
