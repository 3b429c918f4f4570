//! Instances that are created off the worker thread, and the requests that wait for one.
//!
//! Owned by `local_version`, which decides where an instance is created.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::breaker::Admission;
use super::progress::Progress;
use super::version::{Version, WorkerEventKind};
use crate::plugin::{Fault, Instance};

/// Maximum number of instances of one version that are created at one time for one worker.
const MAX_ORDERS: usize = 2;

/// Maximum number of requests of one worker that wait for an instance; `on_fault` applies to
/// further ones.
const MAX_WAITING: usize = 1024;

/// An instance, or the reason why there is none.
type Made = Result<Instance, Fault>;

/// Instances of a version that one worker has ordered.
#[derive(Debug, Default)]
pub(super) struct Supply {
    /// Number of instances that are being created.
    orders: usize,
    /// Waiting requests; first come, first served.
    waiting: VecDeque<oneshot::Sender<Made>>,
    /// Whether no more instances will be delivered.
    is_closed: bool,
}

/// A request's place in the queue for its own instance.
#[derive(Debug)]
pub struct Wait {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    /// Boxed, since hardly any request waits.
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
    /// Waits until the instance is ready, at most as long as an instance may take to start. None if
    /// the version has left the worker, so that another has to be called.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
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
    /// Whether an instance is being created.
    pub(super) fn is_ordered(&self) -> bool {
        self.orders > 0 && !self.is_closed
    }

    /// Drops all waiting requests from the queue, because the frontend is gone.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
    }

    /// Orders an instance, unless enough are being created.
    pub(super) fn order(&mut self, version: &Version, worker: usize) {
        let is_enough = self.is_closed || self.orders == MAX_ORDERS;
        if !is_enough && version.notify(WorkerEventKind::NeedsInstance(worker)) {
            self.orders += 1;
        }
    }

    /// Adds a request to the queue; None if it is full.
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

    /// Accepts an instance that was ordered; see [`give`](Self::give).
    pub(super) fn receive(&mut self, made: Made) -> Option<Made> {
        self.orders = self.orders.saturating_sub(1);
        self.give(made)
    }

    /// Passes an instance to the request that has waited longest, or returns it if no request
    /// waits. If the instance could not be created, all waiting requests fail.
    pub(super) fn give(&mut self, mut made: Made) -> Option<Made> {
        if let Err(fault) = &made {
            for waiting in self.waiting.drain(..) {
                // The request may have gone.
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

    /// Orders instances for the requests that still wait.
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
