//! Instances that are created off the worker thread, and the requests that wait for them.
//!
//! Owned by `local_version`, which decides where an instance is created.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::breaker::Admission;
use super::progress::Progress;
use super::version::{Version, WorkerEventKind};
use crate::plugin::{Fault, Instance};

/// Maximum number of instances of one version that are being created at one time for one worker.
const MAX_CREATING: usize = 2;

/// Maximum number of requests of one worker that wait for an instance; `on_fault` applies to any
/// further requests.
const MAX_WAITING: usize = 1024;

/// An instance, or the reason why it could not be created.
type Created = Result<Instance, Fault>;

/// The instances of a version that are being created for one worker, and the requests that wait for
/// them.
#[derive(Debug, Default)]
pub(super) struct InstanceQueue {
    /// Number of instances that are being created.
    creating: usize,
    /// Waiting requests, served in the order of arrival.
    waiting: VecDeque<oneshot::Sender<Created>>,
    /// Whether no more instances will be delivered.
    is_closed: bool,
}

/// A request's position in the queue for an instance.
#[derive(Debug)]
pub struct Wait {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    /// Boxed to keep this type small, since few requests wait.
    pub(super) progress: Box<Progress>,
    created: oneshot::Receiver<Created>,
}

/// An instance, or the error of its creation, for the request that waited for it.
#[derive(Debug)]
pub struct Supplied {
    pub(super) version: Arc<Version>,
    pub(super) admission: Admission,
    pub(super) progress: Box<Progress>,
    pub(super) created: Created,
}

impl Wait {
    /// Waits until the instance is ready, at most as long as an instance may take to start. Returns
    /// None if the worker no longer has the version: then another version has to be called.
    ///
    /// # Cancel safety
    /// Dropping the future removes the request from the queue.
    pub async fn end(self) -> Option<Supplied> {
        let created = tokio::time::timeout(self.version.longest_start(), self.created).await;
        let created = match created {
            Ok(created) => created.ok()?,
            Err(_) => Err(Fault::Starting),
        };
        Some(Supplied {
            version: self.version,
            admission: self.admission,
            progress: self.progress,
            created,
        })
    }
}

impl InstanceQueue {
    /// Returns whether an instance is being created.
    pub(super) fn is_creating(&self) -> bool {
        self.creating > 0 && !self.is_closed
    }

    /// Removes all waiting requests from the queue, because the frontend is gone.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.waiting.clear();
    }

    /// Requests an instance, unless enough instances are already being created.
    pub(super) fn request_instance(&mut self, version: &Version, worker: usize) {
        let is_enough = self.is_closed || self.creating == MAX_CREATING;
        if !is_enough && version.notify(WorkerEventKind::NeedsInstance(worker)) {
            self.creating += 1;
        }
    }

    /// Adds a request to the queue; None if it is full.
    pub(super) fn wait(&mut self, version: &Arc<Version>, admission: Admission) -> Option<Wait> {
        self.waiting.retain(|waiting| !waiting.is_closed());
        if self.waiting.len() >= MAX_WAITING {
            return None;
        }
        let (sender, created) = oneshot::channel();
        self.waiting.push_back(sender);
        Some(Wait {
            version: Arc::clone(version),
            admission,
            progress: Box::default(),
            created,
        })
    }

    /// Accepts an instance that was requested; see [`hand_out`](Self::hand_out).
    pub(super) fn receive(&mut self, created: Created) -> Option<Created> {
        self.creating = self.creating.saturating_sub(1);
        self.hand_out(created)
    }

    /// Passes an instance to the request that has waited longest, or returns it if no request
    /// waits. If the instance could not be created, all waiting requests fail.
    pub(super) fn hand_out(&mut self, mut created: Created) -> Option<Created> {
        if let Err(fault) = &created {
            for waiting in self.waiting.drain(..) {
                // Sending fails if the request is already gone.
                let _ = waiting.send(Err(fault.clone()));
            }
            return Some(created);
        }
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(created) {
                Ok(()) => return None,
                Err(back) => created = back,
            }
        }
        Some(created)
    }

    /// Requests instances for the requests that are still waiting.
    pub(super) fn request_for_waiting(&mut self, version: &Version, worker: usize) {
        self.waiting.retain(|waiting| !waiting.is_closed());
        while self.creating < MAX_CREATING.min(self.waiting.len()) {
            let before = self.creating;
            self.request_instance(version, worker);
            if self.creating == before {
                break;
            }
        }
    }
}
