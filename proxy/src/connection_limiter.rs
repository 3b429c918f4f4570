//! Enforces `max_connections` and chooses the worker for a new connection.
//!
//! A leaf. The kernel distributes connections by a hash of their addresses. If there are few
//! long-lived connections, that leaves some workers idle. Therefore each worker counts its open
//! connections. A worker that has clearly more of them than another hands over the connections that
//! it accepts. Measured in docs/decisions/2026-11-22-connection-balance.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Limits the number of connections. Shared by all workers and used once per connection, never per
/// request.
#[derive(Debug)]
pub struct ConnectionLimiter {
    free: Semaphore,
    /// Number of permits, not counting the excess.
    allowed: AtomicUsize,
    /// Number of permits in use above a lowered limit. They are not returned when their connections
    /// end.
    excess: AtomicUsize,
    open: Box<[Load]>,
}

/// Number of a worker's open connections, on a separate cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

/// A permit for one of `max_connections`, not yet assigned to a worker.
#[derive(Debug)]
pub struct Permit(Arc<ConnectionLimiter>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release(1);
    }
}

/// A permit assigned to a worker, kept from the acceptance of a connection to its end. The type is
/// small because it is a large part of the memory that an idle tunnel needs.
#[derive(Debug)]
pub struct WorkerPermit {
    permit: Permit,
    worker: u32,
}

impl ConnectionLimiter {
    /// Creates a limiter that allows `max_connections` for all `workers` together.
    pub fn new(max_connections: u32, workers: usize) -> ConnectionLimiter {
        ConnectionLimiter {
            free: Semaphore::new(max_connections as usize),
            allowed: AtomicUsize::new(max_connections as usize),
            excess: AtomicUsize::new(0),
            open: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    /// Changes the limit. If more connections are open, they continue until they end.
    pub fn allow(&self, max_connections: u32) {
        let now = max_connections as usize;
        let before = self.allowed.swap(now, Ordering::Relaxed);
        if now >= before {
            self.release(now - before);
        } else {
            let fewer = before - now;
            let taken = self.free.forget_permits(fewer);
            self.excess.fetch_add(fewer - taken, Ordering::Relaxed);
        }
    }

    fn release(&self, permits: usize) {
        let less = |excess: usize| (excess > 0).then(|| excess.saturating_sub(permits));
        let excess = self
            .excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        // `fetch_update` fails if the excess is 0, which is the usual case.
        let ended = excess.unwrap_or_default().min(permits);
        self.free.add_permits(permits - ended);
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn take(self: &Arc<ConnectionLimiter>) -> Permit {
        match self.free.acquire().await {
            Ok(permit) => permit.forget(),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
        Permit(Arc::clone(self))
    }

    /// Chooses the worker that serves a connection accepted by `worker`.
    pub fn assign(&self, permit: Permit, worker: usize) -> WorkerPermit {
        let least = (0..self.open.len()).min_by_key(|&index| self.open(index));
        let chosen = match least {
            Some(least) if is_clearly_more(self.open(worker), self.open(least)) => least,
            _ => worker,
        };
        WorkerPermit::new(permit, chosen)
    }

    /// Returns the number of open connections of all workers together.
    pub fn taken(&self) -> usize {
        (0..self.open.len()).map(|worker| self.open(worker)).sum()
    }

    /// Returns the number of connections that `worker` has open or is about to receive.
    fn open(&self, worker: usize) -> usize {
        self.open[worker].0.load(Ordering::Relaxed)
    }
}

/// Returns whether `own` exceeds `least` by more than an eighth. Small differences are tolerated:
/// handing over a connection costs a wake-up, and many connections even out by themselves.
fn is_clearly_more(own: usize, least: usize) -> bool {
    own > least + least / 8
}

impl WorkerPermit {
    fn new(permit: Permit, worker: usize) -> WorkerPermit {
        permit.0.open[worker].0.fetch_add(1, Ordering::Relaxed);
        WorkerPermit {
            permit,
            // There are at most 4096 workers.
            worker: u32::try_from(worker).unwrap_or_default(),
        }
    }

    /// Returns the worker that serves the connection.
    pub fn worker(&self) -> usize {
        self.worker as usize
    }

    /// Moves the permit to another worker.
    pub fn move_to(&mut self, worker: usize) {
        let open = &self.permit.0.open;
        open[self.worker()].0.fetch_sub(1, Ordering::Relaxed);
        open[worker].0.fetch_add(1, Ordering::Relaxed);
        self.worker = u32::try_from(worker).unwrap_or_default();
    }
}

impl Drop for WorkerPermit {
    fn drop(&mut self) {
        self.permit.0.open[self.worker()]
            .0
            .fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accept(limiter: &Arc<ConnectionLimiter>, worker: usize) -> WorkerPermit {
        limiter.free.try_acquire().unwrap().forget();
        limiter.assign(Permit(Arc::clone(limiter)), worker)
    }

    #[test]
    fn few_connections_are_spread_exactly() {
        let limiter = Arc::new(ConnectionLimiter::new(4, 2));
        // All connections arrive at the first worker.
        let held: Vec<WorkerPermit> = (0..4).map(|_| accept(&limiter, 0)).collect();
        let workers: Vec<usize> = held.iter().map(WorkerPermit::worker).collect();
        assert_eq!(workers, [0, 1, 0, 1]);
        drop(held);
        assert_eq!((limiter.open(0), limiter.open(1)), (0, 0));
        assert_eq!(limiter.free.available_permits(), 4);
    }

    #[test]
    fn a_permit_can_stay_where_it_was_accepted() {
        let limiter = Arc::new(ConnectionLimiter::new(4, 2));
        let first = accept(&limiter, 0);
        let mut second = accept(&limiter, 0);
        assert_eq!((first.worker(), second.worker()), (0, 1));
        second.move_to(0);
        assert_eq!((limiter.open(0), limiter.open(1)), (2, 0));
    }

    #[test]
    fn the_limit_can_be_lowered_and_raised_again() {
        let limiter = Arc::new(ConnectionLimiter::new(4, 1));
        let mut held: Vec<WorkerPermit> = (0..3).map(|_| accept(&limiter, 0)).collect();
        for (allowed, ends, free) in [
            (4, 0, 1),
            // The limit is exceeded by two connections, then by one.
            (1, 0, 0),
            (1, 1, 0),
            (1, 1, 0),
            (3, 0, 2),
            (2, 0, 1),
            (2, 1, 2),
        ] {
            limiter.allow(allowed);
            held.truncate(held.len() - ends);
            assert_eq!(limiter.free.available_permits(), free, "{allowed}, {ends}");
        }
    }

    proptest! {
        /// However the kernel distributes connections, no worker has more than any other by over an
        /// eighth plus one, as long as no connection ends.
        #[test]
        fn no_worker_has_much_more_than_another(accepting in prop::collection::vec(0_usize..4, 1..200)) {
            let limiter = Arc::new(ConnectionLimiter::new(200, 4));
            let mut held = Vec::new();
            for worker in accepting {
                held.push(accept(&limiter, worker));
                let open: Vec<usize> = (0..4).map(|worker| limiter.open(worker)).collect();
                let least = open.iter().min().copied().unwrap_or_default();
                prop_assert!(open.iter().all(|&open| open <= least + least / 8 + 1), "{open:?}");
            }
        }
    }
}
