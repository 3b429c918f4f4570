//! Who is still there, and the one signal to stop.
//!
//! A leaf. `worker` owns a [`Shutdown`]; its listeners and connections watch it. A
//! [`Permit`] stands for a connection, from its acceptance to the end of its tunnel.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::places::Place;

/// A worker's word that it is stopping; one value, many watchers.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_stopping: Cell<bool>,
    /// Wakes those who wait for the signal.
    begun: Notify,
    connections: Cell<usize>,
    /// Wakes who waits for the last connection.
    ended: Notify,
}

impl Shutdown {
    /// Tells all watchers, present and future.
    pub fn begin(&self) {
        self.0.is_stopping.set(true);
        self.0.begun.notify_waiters();
    }

    /// Waits for the signal.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn begun(&self) {
        // Registered before the flag is read, so that no signal falls in between.
        let begun = self.0.begun.notified();
        if !self.0.is_stopping.get() {
            begun.await;
        }
    }

    /// Whether the signal has been given.
    pub fn has_begun(&self) -> bool {
        self.0.is_stopping.get()
    }

    /// Counts a connection.
    pub fn enter(&self, place: Place) -> Permit {
        self.0.connections.set(self.0.connections.get() + 1);
        Permit {
            shutdown: self.clone(),
            _place: place,
        }
    }

    /// Connections of this worker that are open.
    pub fn connections(&self) -> usize {
        self.0.connections.get()
    }

    /// Waits until no connection is open.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ended(&self) {
        while self.connections() > 0 {
            self.0.ended.notified().await;
        }
    }
}

/// An open connection, tunnels included. Dropped with its task.
#[derive(Debug)]
pub struct Permit {
    shutdown: Shutdown,
    _place: Place,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let inner = &self.shutdown.0;
        inner.connections.set(inner.connections.get() - 1);
        if inner.connections.get() == 0 {
            inner.ended.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::places::Places;

    #[tokio::test]
    async fn waits_for_the_signal_and_for_the_last_connection() {
        let shutdown = Shutdown::default();
        let places = Arc::new(Places::new(1, 1));
        let permit = shutdown.enter(places.assign(places.take().await, 0));
        let order = Cell::new(0);
        let step = |expected: u32| {
            assert_eq!(order.get(), expected);
            order.set(expected + 1);
        };
        tokio::join!(
            async {
                shutdown.begun().await;
                step(1);
                drop(permit);
            },
            async {
                step(0);
                shutdown.begin();
                shutdown.ended().await;
                step(2);
            }
        );
        shutdown.begun().await;
        // Its place is free again.
        places.take().await;
    }
}
