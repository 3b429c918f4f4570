//! The running process: its controls, its listening sockets, and the replacement of its workers.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::sockets::Sockets;
use super::workers::{Failure, Threads};
use crate::admin::ProcessRequest;
use crate::control::Control;

/// Handle to the running process. All clones refer to the same state.
#[derive(Debug, Clone)]
pub(super) struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Control,
    sockets: Mutex<Sockets>,
    max_connections: u32,
    /// Held while sockets are bound and put into service, or handed over to a successor.
    changing_sockets: tokio::sync::Mutex<()>,
}

impl Process {
    pub(super) fn new(control: Control, sockets: Sockets, max_connections: u32) -> Process {
        Process(Arc::new(Inner {
            control,
            sockets: Mutex::new(sockets),
            max_connections,
            changing_sockets: tokio::sync::Mutex::new(()),
        }))
    }

    /// Returns the maximum number of open client connections, which is fixed while the process
    /// runs.
    pub(super) fn max_connections(&self) -> u32 {
        self.0.max_connections
    }

    pub(super) fn control(&self) -> &Control {
        &self.0.control
    }

    /// Locks the sockets. Workers never lock them.
    pub(super) fn sockets(&self) -> MutexGuard<'_, Sockets> {
        // Every change leaves the sockets consistent, so a poisoned lock is safe to use.
        self.0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a worker in place of a failed one, with the configuration in force. Clients wait in
    /// the backlogs of the worker's sockets meanwhile.
    ///
    /// # Errors
    /// If the system has no descriptor or thread left. The worker is then missing, and its sockets
    /// must be closed.
    pub(super) fn replace_worker(&self, threads: &mut Threads, failure: Failure) -> io::Result<()> {
        let control = self.control();
        let mut inputs = failure.inputs;
        inputs.failed = inputs.failed.wrapping_add(1);
        // The lock is held so that no reload changes the sockets in between.
        let sockets = self.sockets();
        let own = inputs.workers.own;
        let listeners = sockets.known().of_worker(own, control.workers())?;
        let config = control.configure_again(&mut inputs, listeners);
        threads.replace(config, inputs)
    }

    /// Waits for exclusive permission to change the sockets.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn change_sockets(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing_sockets.lock().await
    }

    /// Handles requests of the admin interface until the interface has ended.
    pub(super) async fn handle(self, mut requests: mpsc::Receiver<ProcessRequest>) {
        while let Some(request) = requests.recv().await {
            let process = self.clone();
            tokio::spawn(async move {
                // Replies are best effort: the client may have disconnected meanwhile.
                match request {
                    ProcessRequest::Reload(reply) => {
                        let _ = reply.send(process.reload().await);
                    }
                    ProcessRequest::Upgrade(reply) => {
                        let _ = reply.send(process.upgrade().await);
                    }
                }
            });
        }
    }
}
