//! Who is still there, and the one signal to stop.
//!
//! A leaf. `worker` owns a [`Shutdown`]; its listeners and connections watch it. A
//! [`Permit`] stands for a connection, from its acceptance to the end of its tunnel.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::places::Place;

/// The word to stop, to one frontend's watchers or to all of a worker's; one value, many
/// watchers.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    word: Rc<Word>,
    open: Rc<Open>,
}

#[derive(Debug, Default)]
struct Word {
    /// None until it is given; then when who asks nothing is let go.
    farewell: Cell<Option<Instant>>,
    /// Wakes those who wait for it.
    begun: Notify,
}

/// A worker's connections.
#[derive(Debug, Default)]
struct Open {
    connections: Cell<usize>,
    /// Wakes who waits for the last one.
    ended: Notify,
}

impl Shutdown {
    /// A word of its own, for connections that are counted with those of `self`.
    #[must_use]
    pub fn part(&self) -> Shutdown {
        Shutdown {
            word: Rc::default(),
            open: Rc::clone(&self.open),
        }
    }

    /// Tells all watchers, present and future. Clients that ask nothing have this long to do
    /// so, and be told that it was their last request: closing at once would be closing
    /// under those that are between two.
    pub fn begin(&self, farewell: Duration) {
        self.word.farewell.set(Some(Instant::now() + farewell));
        self.word.begun.notify_waiters();
    }

    /// Waits for the word.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn begun(&self) {
        // Registered before the flag is read, so that no word falls in between.
        let begun = self.word.begun.notified();
        if self.farewell().is_none() {
            begun.await;
        }
    }

    /// When clients that ask nothing are let go; None before the word was given.
    pub fn farewell(&self) -> Option<Instant> {
        self.word.farewell.get()
    }

    /// Counts a connection.
    pub fn enter(&self, place: Place) -> Permit {
        let open = Rc::clone(&self.open);
        open.connections.set(open.connections.get() + 1);
        Permit {
            open,
            _place: place,
        }
    }

    /// Connections of this worker that are open.
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

/// An open connection, tunnels included. Dropped with its task.
#[derive(Debug)]
pub struct Permit {
    open: Rc<Open>,
    _place: Place,
}

impl Drop for Permit {
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
    use crate::places::Places;

    #[tokio::test]
    async fn waits_for_the_signal_and_for_the_last_connection() {
        let shutdown = Shutdown::default();
        let places = Arc::new(Places::new(1, 1));
        // Another part of the worker that stops is nobody's word here.
        shutdown.part().begin(Duration::ZERO);
        let permit = shutdown.part().enter(places.assign(places.take().await, 0));
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
                shutdown.begin(Duration::ZERO);
                shutdown.ended().await;
                step(2);
            }
        );
        shutdown.begun().await;
        // Its place is free again.
        places.take().await;
    }
}
