//! Changes under way: their order, and how many of a kind are prepared at one time.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::rollout::loader::{MAX_LOADS, MAX_RELOADS, MAX_RESTARTS};
use crate::rollout::ticket::Tickets;

/// Order and number of the changes under way.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) tickets: Tickets,
    /// Reloads.
    pub(super) reloads: Semaphore,
    /// Loads that may compile.
    pub(super) loads: Semaphore,
    /// Versions that are started again. They never wait for a compiler.
    pub(super) restarts: Semaphore,
}

/// The right to prepare a change.
pub(super) type Permit<'a> = SemaphorePermit<'a>;

impl Default for Changes {
    fn default() -> Changes {
        Changes {
            tickets: Tickets::default(),
            reloads: Semaphore::new(MAX_RELOADS),
            loads: Semaphore::new(MAX_LOADS),
            restarts: Semaphore::new(MAX_RESTARTS),
        }
    }
}
