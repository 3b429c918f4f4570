//! State that all servers of a backend share, across all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::queue::Queue;
use super::slots::Slots;
use super::wake::Wake;

/// Limits of a backend, and notifications about its servers.
#[derive(Debug)]
pub(super) struct Shared {
    /// The backend's name.
    pub(super) name: Arc<str>,
    /// Slots for the backend's `max_requests`.
    pub(super) slots: Slots,
    /// Requests that wait for a slot of any server.
    pub(super) queue: Arc<Queue>,
    /// Number that each change to a server's condition, state or weight increments.
    epoch: AtomicU64,
    /// Whether a server that comes back reaches its full weight only gradually.
    starts_slowly: AtomicBool,
    /// Wakes the keeper.
    wake: Wake,
}

impl Shared {
    pub(super) fn new(name: &str, wake: Wake) -> Shared {
        Shared {
            name: Arc::from(name),
            slots: Slots::new(None),
            queue: Arc::new(Queue::new(0)),
            epoch: AtomicU64::new(1),
            starts_slowly: AtomicBool::new(false),
            wake,
        }
    }

    pub(super) fn starts_slowly(&self) -> bool {
        self.starts_slowly.load(Ordering::Relaxed)
    }

    pub(super) fn set_slow_start(&self, starts_slowly: bool) {
        self.starts_slowly.store(starts_slowly, Ordering::Relaxed);
    }

    /// Returns a number that differs after each change.
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Announces a change. The thread that makes the change calls this afterwards.
    pub(super) fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        // There may now be an endpoint for the requests that wait.
        self.queue.wake();
        self.wake.wake();
    }
}
