//! What the task of a connection to a server has in common with the requests on it.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::io::Watch;

/// State that the connection's task has in common with those who use it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) watch: Rc<Watch>,
    /// Requests that have a stream, or are about to.
    pub(super) active: Cell<usize>,
    /// When the last of them ended.
    pub(super) idle_since: Cell<Instant>,
    pub(super) has_ended: Cell<bool>,
    /// Requests at once that the server has not refused.
    pub(super) limit: Cell<usize>,
}

impl Shared {
    /// Of a new connection, without streams.
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

/// Counts a stream of a connection while it lives.
#[derive(Debug)]
pub(super) struct Used(Rc<Shared>);

impl Used {
    pub(super) fn new(shared: &Rc<Shared>) -> Used {
        shared.active.set(shared.active.get() + 1);
        Used(Rc::clone(shared))
    }
}

impl Used {
    /// Fewer requests from now on than there are: none if it was alone.
    pub(super) fn note_refusal(&self) {
        let accepted = self.0.active.get().saturating_sub(1);
        self.0.limit.set(self.0.limit.get().min(accepted));
    }

    /// Sends no further request over the connection if the server has sent nothing since then.
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
