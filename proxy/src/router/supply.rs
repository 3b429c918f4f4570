//! Instances that are made off the worker's thread, and the requests that wait for one.
//!
//! Owned by `local_version`, which decides where an instance is made.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::breaker::Admission;
use super::progress::Progress;
use super::version::{Version, WorkerEventKind};
use crate::plugin::{Fault, Instance};

/// Most instances of one version that are made at one time for one worker.
const MAX_ORDERS: usize = 2;

/// Most requests of one worker that wait for an instance; beyond that they go by `on_fault`.
const MAX_WAITING: usize = 1024;

/// An instance, or why there is none.
type Made = Result<Instance, Fault>;

/// Instances of a version that one worker has ordered.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Instances that are being made.
    orders: usize,
    /// First come, first served.
    waiting: VecDeque<oneshot::Sender<Made>>,
    /// Nobody would deliver.
    is_closed: bool,
}

/// A request's place in the queue for an instance of its own.
#[derive(Debug)]
pub struct Wait {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    /// In a box, since hardly any request waits.
    pub(super) progress: Box<Progress>,
    made: oneshot::Receiver<Made>,
}

/// An instance for the request that waited for it.
#[derive(Debug)]
pub struct Supplied {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    pub(super) progress: Box<Progress>,
    pub(super) made: Made,
}

impl Wait {
    /// Waits as long as an instance may take to start. None: the version has left the worker, and
    /// another is to be asked.
    ///
    /// # Cancel safety
    /// Dropping it leaves the queue.
    pub async fn end(self) -> Option<Supplied> {
        let made = tokio::time::timeout(self.version.longest_start(), self.made).await;
        let made = match made {
            Ok(made) => made.ok()?,
            Err(_) => Err(Fault::Starting),
        };
        Some(Supplied {
            version: self.version,
            admission: self.admission,
            progress: self.progress,
            made,
        })
    }
}

impl Supply {
    /// Whether an instance is being made.
    pub(super) fn is_ordered(&self) -> bool {
        self.orders > 0 && !self.is_closed
    }

    /// Nobody waits any more: the frontend is gone.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
    }

    /// Has an instance made, unless enough are.
    pub(super) fn order(&mut self, version: &Version, worker: usize) {
        let is_enough = self.is_closed || self.orders == MAX_ORDERS;
        if !is_enough && version.notify(WorkerEventKind::NeedsInstance(worker)) {
            self.orders += 1;
        }
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
            progress: Box::default(),
            made,
        })
    }

    /// Takes what was ordered; see [`give`](Self::give).
    pub(super) fn receive(&mut self, made: Made) -> Option<Made> {
        self.orders = self.orders.saturating_sub(1);
        self.give(made)
    }

    /// Gives an instance to the request that has waited longest; without one it is returned. Where
    /// none could be made nobody waits on.
    pub(super) fn give(&mut self, mut made: Made) -> Option<Made> {
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
