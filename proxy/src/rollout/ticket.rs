//! The order in which changes were requested.
//!
//! Changes are prepared concurrently and finish in any order. If a change finishes late, its ticket
//! shows whether it was requested before the change that is now in force.

use std::sync::atomic::{AtomicU64, Ordering};

/// Position of a change in the order of requests. Later requests have greater tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Issues tickets in ascending order.
#[derive(Debug)]
pub struct Tickets(AtomicU64);

impl Ticket {
    /// The ticket of the first configuration, before all others.
    pub const START: Ticket = Ticket(0);
}

impl Default for Tickets {
    fn default() -> Tickets {
        Tickets(AtomicU64::new(Ticket::START.0 + 1))
    }
}

impl Tickets {
    /// Returns the next ticket.
    pub fn take(&self) -> Ticket {
        Ticket(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
