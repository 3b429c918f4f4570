//! Instances that are made off the worker's thread, and the requests that wait for one.
//!
//! Owned by `local_version`, which decides where an instance is made.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::breaker::Admission;
use super::version::{Version, WorkerEventKind};
use crate::plugin::{Fault, Instance};

/// Most instances of one version that are made at one time for one worker.
const MAX_ORDERS: usize = 2;

/// Most requests of one worker that wait for an instance; beyond that they go by `on_fault`.
const MAX_WAITING: usize = 1024;

/// An instance, or why there is none.
type Made = Result<Instance, Fault>;

/// What one worker has ordered of a version.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Instances that are being made.
    orders: usize,
    /// First come, first served.
    waiting: VecDeque<oneshot::Sender<Made>>,
}

/// A request's place in the queue for an instance of its own.
#[derive(Debug)]
pub struct Wait {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    made: oneshot::Receiver<Made>,
}

/// An instance for the request that waited for it.
#[derive(Debug)]
pub struct Supplied {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    pub(super) made: Made,
}

impl Wait {
    /// Waits as long as an instance may take to start.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub async fn end(self) -> Supplied {
        let made = tokio::time::timeout(self.version.longest_start(), self.made).await;
        // The sender goes where the version leaves the worker.
        let made = made.ok().and_then(Result::ok);
        Supplied {
            version: self.version,
            admission: self.admission,
            made: made.unwrap_or(Err(Fault::Starting)),
        }
    }
}

impl Supply {
    /// Whether an instance is being made.
    pub(super) fn is_ordered(&self) -> bool {
        self.orders > 0
    }

    /// Has an instance made, unless enough are. Whether one will come.
    pub(super) fn order(&mut self, version: &Version, worker: usize) -> bool {
        if self.orders < MAX_ORDERS && version.notify(WorkerEventKind::NeedsInstance(worker)) {
            self.orders += 1;
        }
        self.is_ordered()
    }

    /// A place in the queue; None: it is full.
    pub(super) fn wait(&mut self, version: &Arc<Version>, admission: Admission) -> Option<Wait> {
        self.waiting.retain(|waiting| !waiting.is_closed());
        if self.waiting.len() >= MAX_WAITING {
            return None;
        }
        let (sender, made) = oneshot::channel();
        self.waiting.push_back(sender);
        Some(Wait {
            version: Arc::clone(version),
            admission,
            made,
        })
    }

    /// Takes what was ordered, and gives it to the request that has waited longest; without one it
    /// is returned. Where none could be made nobody waits on.
    pub(super) fn receive(&mut self, mut made: Made) -> Option<Made> {
        self.orders = self.orders.saturating_sub(1);
        if let Err(fault) = &made {
            for waiting in self.waiting.drain(..) {
                // It may have left.
                let _ = waiting.send(Err(fault.clone()));
            }
            return Some(made);
        }
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(made) {
                Ok(()) => return None,
                Err(back) => made = back,
            }
        }
        Some(made)
    }

    /// Orders for those who still wait.
    pub(super) fn order_for_waiting(&mut self, version: &Version, worker: usize) {
        self.waiting.retain(|waiting| !waiting.is_closed());
        while self.orders < MAX_ORDERS.min(self.waiting.len()) {
            let before = self.orders;
            self.order(version, worker);
            if self.orders == before {
                break;
            }
        }
    }
}
