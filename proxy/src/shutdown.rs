//! Open connections of a worker, and the signal to stop them.
//!
//! A leaf. `worker` owns a [`Shutdown`], which its listeners and connections watch. A
//! [`ConnectionGuard`] counts a connection from its acceptance until it ends, including the time as
//! a tunnel.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::connection_limiter::WorkerPermit;

/// The signal to stop the connections of one frontend or of a whole worker. One value has many
/// watchers.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    signal: Rc<Signal>,
    open: Rc<Open>,
}

#[derive(Debug, Default)]
struct Signal {
    /// Time at which idle client connections are closed. None before the signal.
    drain_deadline: Cell<Option<Instant>>,
    /// Wakes the tasks that wait for the signal.
    begun: Notify,
}

/// Number of a worker's open connections.
#[derive(Debug, Default)]
struct Open {
    connections: Cell<usize>,
    /// Wakes the task that waits for the last connection to end.
    ended: Notify,
}

impl Shutdown {
    /// Returns a separate signal. Connections that watch it are counted together with those of
    /// `self`.
    #[must_use]
    pub fn part(&self) -> Shutdown {
        Shutdown {
            signal: Rc::default(),
            open: Rc::clone(&self.open),
        }
    }

    /// Notifies all watchers, present and future. An idle client can send another request for
    /// `drain_grace`; the response then says that it is the last one on the connection. If
    /// connections were closed at once, clients that are about to send their next request would get
    /// errors.
    pub fn begin(&self, drain_grace: Duration) {
        self.signal
            .drain_deadline
            .set(Some(Instant::now() + drain_grace));
        self.signal.begun.notify_waiters();
    }

    /// Waits for the signal.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn begun(&self) {
        // Register before reading the flag, so that no signal is missed in between.
        let begun = self.signal.begun.notified();
        if self.drain_deadline().is_none() {
            begun.await;
        }
    }

    /// Returns the time at which idle client connections are closed. None before the signal.
    pub fn drain_deadline(&self) -> Option<Instant> {
        self.signal.drain_deadline.get()
    }

    /// Counts a connection.
    pub fn enter(&self, permit: WorkerPermit) -> ConnectionGuard {
        let open = Rc::clone(&self.open);
        open.connections.set(open.connections.get() + 1);
        ConnectionGuard {
            open,
            _permit: permit,
        }
    }

    /// Returns the number of this worker's open connections.
    pub fn connections(&self) -> usize {
        self.open.connections.get()
    }

    /// Waits until no connection of this worker is open.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) {
        while self.connections() > 0 {
            self.open.ended.notified().await;
        }
    }
}

/// An open connection, including a tunnel. Dropped with its task.
#[derive(Debug)]
pub struct ConnectionGuard {
    open: Rc<Open>,
    _permit: WorkerPermit,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.open.connections.set(self.open.connections.get() - 1);
        if self.open.connections.get() == 0 {
            self.open.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connection_limiter::ConnectionLimiter;

    #[tokio::test]
    async fn waits_for_the_signal_and_for_the_last_connection() {
        let shutdown = Shutdown::default();
        let limiter = Arc::new(ConnectionLimiter::new(1, 1));
        // The signal of one part does not stop the others.
        shutdown.part().begin(Duration::ZERO);
        let guard = shutdown
            .part()
            .enter(limiter.assign(limiter.take().await, 0));
        let order = Cell::new(0);
        let step = |expected: u32| {
            assert_eq!(order.get(), expected);
            order.set(expected + 1);
        };
        tokio::join!(
            async {
                shutdown.begun().await;
                step(1);
                drop(guard);
            },
            async {
                step(0);
                shutdown.begin(Duration::ZERO);
                shutdown.ended().await;
                step(2);
            }
        );
        shutdown.begun().await;
        // Returns only if the permit has been released.
        limiter.take().await;
    }
}
