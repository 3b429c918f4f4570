//! Changes in preparation: their order, and how many of each kind are prepared at the same time.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::rollout::loader::{MAX_LOADS, MAX_RELOADS, MAX_RESTARTS};
use crate::rollout::ticket::Tickets;

/// Tickets for changes, and permits that limit how many are prepared at the same time.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) tickets: Tickets,
    /// Permits for reloads.
    pub(super) reloads: Semaphore,
    /// Permits for loads that may compile.
    pub(super) loads: Semaphore,
    /// Permits for restarting retired versions. Restarts never wait for a compiler.
    pub(super) restarts: Semaphore,
}

/// A permit to prepare a change.
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
