//! An HTTP/1.1 connection to a server: in use, or idle for the next request.
//!
//! It has no task of its own: whoever holds it polls it, so that all of a request is one
//! task, and a response wakes just the connection that waits for it.

use std::cell::Cell;
use std::rc::Rc;

use super::server::Connected;
use crate::transport::buffer::BufferPool;
use crate::transport::io::Io;
use crate::wire::Wire;

/// Whether a connection may carry another exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reusable {
    /// Once the present one is complete.
    Yes,
    /// Once the present one is complete, for the same client: the server has authenticated
    /// the connection.
    Privately,
    /// The present one is its last.
    No,
}

/// How closely an idle connection is looked at before it serves again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// By the events that the poller has reported: a close that has just come is missed.
    Events,
    /// By asking the system.
    Socket,
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub(super) struct Open(Rc<Cell<usize>>);

impl Open {
    pub(super) fn new(count: &Rc<Cell<usize>>) -> Open {
        count.set(count.get() + 1);
        Open(Rc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    /// Its messages.
    pub wire: Wire,
    reusable: Reusable,
    connected: Connected,
    _open: Open,
}

impl Connection {
    /// On a connection that nothing was sent on.
    pub(super) fn new(
        io: Io,
        buffers: &BufferPool,
        connected: Connected,
        open: Open,
    ) -> Box<Connection> {
        Box::new(Connection {
            wire: Wire::new(io, buffers),
            reusable: Reusable::Yes,
            connected,
            _open: open,
        })
    }

    /// Rules out that another exchange follows the present one.
    pub fn disable_reuse(&mut self) {
        self.reusable = Reusable::No;
    }

    /// Reserves it for the client of the present exchange.
    pub fn make_private(&mut self) {
        if self.reusable == Reusable::Yes {
            self.reusable = Reusable::Privately;
        }
    }

    /// Whether it is reserved for one client.
    pub fn is_private(&self) -> bool {
        self.reusable == Reusable::Privately
    }

    /// Whether it can carry another exchange, and the one before left nothing behind.
    pub(super) fn is_reusable(&self) -> bool {
        self.reusable != Reusable::No
            && self.wire.is_body_complete()
            && self.wire.is_flushed()
            && self.wire.input().is_empty()
            && !self.wire.has_ended()
    }

    /// Whether the server has neither closed the connection nor sent anything unasked, as a
    /// 408 that says it is about to close.
    pub(super) fn is_alive(&mut self, check: Check) -> bool {
        match check {
            Check::Events => self.wire.io.is_silent(),
            Check::Socket => self.wire.io.is_silent() && self.wire.io.has_nothing_to_read(),
        }
    }

    /// Its messages, and what keeps it counted at its server.
    pub(super) fn into_parts(self) -> (Wire, Connected) {
        (self.wire, self.connected)
    }
}
