//! State shared by the task of a connection to a server and the requests on it.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::io::Watch;

/// State shared by the connection's task and the requests that use it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) watch: Rc<Watch>,
    /// Number of requests that have a stream, or are about to get one.
    pub(super) active: Cell<usize>,
    /// When the last active request ended.
    pub(super) idle_since: Cell<Instant>,
    pub(super) has_ended: Cell<bool>,
    /// Maximum number of concurrent requests, lowered when the server refuses a stream.
    pub(super) limit: Cell<usize>,
}

impl Shared {
    /// Creates the state of a new connection without streams.
    pub(super) fn new(watch: Rc<Watch>, now: Instant) -> Shared {
        Shared {
            watch,
            active: Cell::new(0),
            idle_since: Cell::new(now),
            has_ended: Cell::new(false),
            limit: Cell::new(usize::MAX),
        }
    }
}

/// Counts a stream as active until dropped.
#[derive(Debug)]
pub(super) struct Used(Rc<Shared>);

impl Used {
    pub(super) fn new(shared: &Rc<Shared>) -> Used {
        shared.active.set(shared.active.get() + 1);
        Used(Rc::clone(shared))
    }
}

impl Used {
    /// Lowers the limit to one less than the current number of requests, or to zero if this was the
    /// only one.
    pub(super) fn note_refusal(&self) {
        let accepted = self.0.active.get().saturating_sub(1);
        self.0.limit.set(self.0.limit.get().min(accepted));
    }

    /// Sends no further requests over the connection if the number of received bytes is still
    /// `received`.
    pub(super) fn give_up_if_silent_since(&self, received: u64) {
        if self.0.watch.received() == received {
            self.0.has_ended.set(true);
        }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let left = self.0.active.get() - 1;
        self.0.active.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
    }
}
