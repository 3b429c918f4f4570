//! An HTTP/1.1 connection to a server, in use or idle.
//!
//! A connection has no task of its own: its owner polls it. All work for a request therefore
//! happens in a single task, and a response wakes only the task that waits for it.

use std::cell::Cell;
use std::rc::Rc;

use super::server::Connected;
use crate::transport::buffer::BufferPool;
use crate::transport::io::Io;
use crate::wire::Wire;

/// Whether a connection can carry another exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reusable {
    /// Yes, once the current exchange is complete.
    Yes,
    /// Yes, once the current exchange is complete, but only for the same client: the server has
    /// authenticated the connection.
    Privately,
    /// No, the current exchange is the last.
    No,
}

/// How closely an idle connection is checked before it is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// By the events that the poller has reported. A close that has just arrived is not noticed.
    Events,
    /// By a system call.
    Socket,
}

/// A guard that counts a connection for as long as it lives.
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
    /// Reads and writes the messages on the connection.
    pub wire: Wire,
    reusable: Reusable,
    connected: Connected,
    _open: Open,
}

impl Connection {
    /// Creates a connection on which nothing has been sent.
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

    /// Prevents another exchange after the current one.
    pub fn disable_reuse(&mut self) {
        self.reusable = Reusable::No;
    }

    /// Reserves the connection for the client of the current exchange.
    pub fn make_private(&mut self) {
        if self.reusable == Reusable::Yes {
            self.reusable = Reusable::Privately;
        }
    }

    /// Returns whether the connection is reserved for one client.
    pub fn is_private(&self) -> bool {
        self.reusable == Reusable::Privately
    }

    /// Returns whether the connection can carry another exchange now: reuse is not disabled, and
    /// the last exchange is complete in both directions.
    pub(super) fn is_reusable(&self) -> bool {
        self.reusable != Reusable::No
            && self.wire.is_body_complete()
            && self.wire.is_flushed()
            && self.wire.input().is_empty()
            && !self.wire.has_ended()
    }

    /// Returns whether the server has neither closed the connection nor sent anything unrequested,
    /// such as a 408 that announces a close.
    pub(super) fn is_alive(&mut self, check: Check) -> bool {
        match check {
            Check::Events => self.wire.io.is_silent(),
            Check::Socket => self.wire.io.is_silent() && self.wire.io.has_nothing_to_read(),
        }
    }

    /// Extracts the wire, and the guard that keeps the connection counted at its server.
    pub(super) fn into_parts(self) -> (Wire, Connected) {
        (self.wire, self.connected)
    }
}
