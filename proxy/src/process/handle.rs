//! The running process: its controls and its listening sockets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::sockets::Sockets;
use crate::admin::ProcessRequest;
use crate::control::Control;

/// The running process. A clone refers to the same one.
#[derive(Debug, Clone)]
pub(super) struct Process(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    control: Control,
    sockets: Mutex<Sockets>,
}

impl Process {
    pub(super) fn new(control: Control, sockets: Sockets) -> Process {
        Process(Arc::new(Inner {
            control,
            sockets: Mutex::new(sockets),
        }))
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
