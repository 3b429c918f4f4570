//! Enforces `max_connections` and chooses the worker for a new connection.
//!
//! A leaf. The kernel spreads connections by a hash of their addresses. With few long-lived
//! connections, that leaves workers idle. So each worker counts its open connections, and a
//! worker with clearly more than another hands over what it accepts. Measured in
//! docs/decisions/2026-11-22-connection-balance.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// Shared by all workers; touched once for a connection, never for a request.
#[derive(Debug)]
pub struct ConnectionLimiter {
    free: Semaphore,
    /// Permits there are, but for the excess.
    allowed: AtomicUsize,
    /// Permits that end with their connections, since fewer are allowed by now.
    excess: AtomicUsize,
    open: Box<[Load]>,
}

/// A worker's open connections, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load(AtomicUsize);

/// The right to one of `max_connections`, not yet assigned to a worker.
#[derive(Debug)]
pub struct Permit(Arc<ConnectionLimiter>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give(1);
    }
}

/// A permit assigned to a worker, held from a connection's acceptance to its end. Small, since
/// an idle tunnel holds little else.
#[derive(Debug)]
pub struct WorkerPermit {
    permit: Permit,
    worker: u32,
}

impl ConnectionLimiter {
    /// Allows `max_connections`, spread over `workers`.
    pub fn new(max_connections: u32, workers: usize) -> ConnectionLimiter {
        ConnectionLimiter {
            free: Semaphore::new(max_connections as usize),
            allowed: AtomicUsize::new(max_connections as usize),
            excess: AtomicUsize::new(0),
            open: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    /// Allows this many from now on. Connections beyond that go on until they end.
    pub fn allow(&self, max_connections: u32) {
        let now = max_connections as usize;
        let before = self.allowed.swap(now, Ordering::Relaxed);
        if now >= before {
            self.give(now - before);
        } else {
            let fewer = before - now;
            let taken = self.free.forget_permits(fewer);
            self.excess.fetch_add(fewer - taken, Ordering::Relaxed);
        }
    }

    fn give(&self, permits: usize) {
        let less = |excess: usize| (excess > 0).then(|| excess.saturating_sub(permits));
        let excess = self
            .excess
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        // The error is an excess of 0, as it nearly always is.
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
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
        Permit(Arc::clone(self))
    }

    /// Chooses the worker that serves what `worker` has accepted.
    pub fn assign(&self, permit: Permit, worker: usize) -> WorkerPermit {
        let least = (0..self.open.len()).min_by_key(|&index| self.open(index));
        let chosen = match least {
            Some(least) if is_clearly_more(self.open(worker), self.open(least)) => least,
            _ => worker,
        };
        WorkerPermit::new(permit, chosen)
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

/// An eighth more: handing over costs a wake-up, and many connections even out by themselves.
fn is_clearly_more(own: usize, least: usize) -> bool {
    own > least + least / 8
}

impl WorkerPermit {
    fn new(permit: Permit, worker: usize) -> WorkerPermit {
        permit.0.open[worker].0.fetch_add(1, Ordering::Relaxed);
        WorkerPermit {
            permit,
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
        // All of them hashed to the first.
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
    fn fewer_may_be_allowed_and_more_again() {
        let limiter = Arc::new(ConnectionLimiter::new(4, 1));
        let mut held: Vec<WorkerPermit> = (0..3).map(|_| accept(&limiter, 0)).collect();
        for (allowed, ends, free) in [
            (4, 0, 1),
            // Two too many, then one.
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
        /// Wherever the kernel sends them: as long as none ends, no worker has more than an
        /// eighth and one above any other.
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
