//! Places among `max_connections`, and which worker a new connection goes to.
//!
//! A leaf. The kernel spreads connections by a hash of their addresses: with few that live
//! long, it leaves workers idle. So each worker counts what it has open, and one that has
//! clearly more than another hands over what it accepts. Measured in ARCHITECTURE.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Shared by all workers; touched once for a connection, never for a request.
#[derive(Debug)]
pub struct Places {
    free: Semaphore,
    open: Box<[Load]>,
}

/// A worker's open connections, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

/// One of `max_connections` that is not free, and not yet any worker's.
#[derive(Debug)]
pub struct Slot(Arc<Places>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.free.add_permits(1);
    }
}

/// An open connection's place in a worker, from its acceptance to its end. Small, since an
/// idle tunnel is little more.
#[derive(Debug)]
pub struct Place {
    slot: Slot,
    worker: u32,
}

impl Places {
    /// `max_connections` for so many workers.
    pub fn new(max_connections: u32, workers: usize) -> Places {
        Places {
            free: Semaphore::new(max_connections as usize),
            open: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    /// Waits until one is free.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn take(self: &Arc<Places>) -> Slot {
        match self.free.acquire().await {
            Ok(permit) => permit.forget(),
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
        Slot(Arc::clone(self))
    }

    /// Decides who serves what `worker` has accepted.
    pub fn assign(&self, slot: Slot, worker: usize) -> Place {
        let least = (0..self.open.len()).min_by_key(|&index| self.open(index));
        let chosen = match least {
            Some(least) if is_clearly_more(self.open(worker), self.open(least)) => least,
            _ => worker,
        };
        Place::new(slot, chosen)
    }

    /// Connections that all workers have open.
    pub fn taken(&self) -> usize {
        (0..self.open.len()).map(|worker| self.open(worker)).sum()
    }

    /// Connections that `worker` has open, or is about to get.
    fn open(&self, worker: usize) -> usize {
        self.open[worker].0.load(Ordering::Relaxed)
    }
}

/// An eighth more: handing over costs a wake-up, which many connections even out without.
fn is_clearly_more(own: usize, least: usize) -> bool {
    own > least + least / 8
}

impl Place {
    fn new(slot: Slot, worker: usize) -> Place {
        slot.0.open[worker].0.fetch_add(1, Ordering::Relaxed);
        Place {
            slot,
            // There are 4096 workers at most.
            worker: u32::try_from(worker).unwrap_or_default(),
        }
    }

    /// The worker that serves it.
    pub fn worker(&self) -> usize {
        self.worker as usize
    }

    /// Moves it to another worker.
    pub fn move_to(&mut self, worker: usize) {
        let open = &self.slot.0.open;
        open[self.worker()].0.fetch_sub(1, Ordering::Relaxed);
        open[worker].0.fetch_add(1, Ordering::Relaxed);
        self.worker = u32::try_from(worker).unwrap_or_default();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.slot.0.open[self.worker()]
            .0
            .fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accept(places: &Arc<Places>, worker: usize) -> Place {
        places.free.try_acquire().unwrap().forget();
        places.assign(Slot(Arc::clone(places)), worker)
    }

    #[test]
    fn few_connections_are_spread_exactly() {
        let places = Arc::new(Places::new(4, 2));
        // All of them hashed to the first.
        let held: Vec<Place> = (0..4).map(|_| accept(&places, 0)).collect();
        let workers: Vec<usize> = held.iter().map(Place::worker).collect();
        assert_eq!(workers, [0, 1, 0, 1]);
        drop(held);
        assert_eq!((places.open(0), places.open(1)), (0, 0));
        assert_eq!(places.free.available_permits(), 4);
    }

    #[test]
    fn a_place_can_stay_where_it_was_accepted() {
        let places = Arc::new(Places::new(4, 2));
        let first = accept(&places, 0);
        let mut second = accept(&places, 0);
        assert_eq!((first.worker(), second.worker()), (0, 1));
        second.move_to(0);
        assert_eq!((places.open(0), places.open(1)), (2, 0));
    }

    proptest! {
        /// Wherever the kernel sends them: as long as none ends, no worker has more than an
        /// eighth and one above any other.
        #[test]
        fn no_worker_has_much_more_than_another(accepting in prop::collection::vec(0_usize..4, 1..200)) {
            let places = Arc::new(Places::new(200, 4));
            let mut held = Vec::new();
            for worker in accepting {
                held.push(accept(&places, worker));
                let open: Vec<usize> = (0..4).map(|worker| places.open(worker)).collect();
                let least = open.iter().min().copied().unwrap_or_default();
                prop_assert!(open.iter().all(|&open| open <= least + least / 8 + 1), "{open:?}");
            }
        }
    }
}
