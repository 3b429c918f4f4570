//! The running process: its controls, its listening sockets, its workers' replacement.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::sockets::Sockets;
use super::workers::{Failure, Threads};
use crate::admin::ProcessRequest;
use crate::control::Control;

/// The running process. A clone refers to the same one.
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

    /// Connections that clients may have open at once, for as long as the process runs.
    pub(super) fn max_connections(&self) -> u32 {
        self.0.max_connections
    }

    pub(super) fn control(&self) -> &Control {
        &self.0.control
    }

    /// Never locked by a worker.
    pub(super) fn sockets(&self) -> MutexGuard<'_, Sockets> {
        // Each change is written in one go.
        self.0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a worker in place of one that has failed, with everything that is in force. The
    /// clients in the queues of its sockets have waited.
    ///
    /// # Errors
    /// The system has no descriptor or thread to give: there is no such worker, and its sockets are
    /// to be closed.
    pub(super) fn replace_worker(&self, threads: &mut Threads, failure: Failure) -> io::Result<()> {
        let control = self.control();
        let mut inputs = failure.inputs;
        inputs.failed = inputs.failed.wrapping_add(1);
        // Held, so that no reload changes them in between.
        let sockets = self.sockets();
        let own = inputs.workers.own;
        let listeners = sockets.known().of_worker(own, control.workers())?;
        let config = control.configure_again(&mut inputs, listeners);
        threads.replace(config, inputs)
    }

    /// Waits for the right to change the sockets.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn change_sockets(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.changing_sockets.lock().await
    }

    /// Handles requests of the admin interface until that has ended.
    pub(super) async fn handle(self, mut requests: mpsc::Receiver<ProcessRequest>) {
        while let Some(request) = requests.recv().await {
            let process = self.clone();
            tokio::spawn(async move {
                // The client may be gone by the time of the reply.
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
