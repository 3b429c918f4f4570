//! The order in which changes were requested.
//!
//! Changes are prepared at the same time, and are done in any order. By its ticket a change that
//! was requested first, but is done last, is told from the last word.

use std::sync::atomic::{AtomicU64, Ordering};

/// When a change was requested: a later one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Gives out tickets.
#[derive(Debug)]
pub struct Tickets(AtomicU64);

impl Ticket {
    /// That of the start, before all others.
    pub const START: Ticket = Ticket(0);
}

impl Default for Tickets {
    fn default() -> Tickets {
        Tickets(AtomicU64::new(Ticket::START.0 + 1))
    }
}

impl Tickets {
    /// The next one.
    pub fn take(&self) -> Ticket {
        Ticket(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
