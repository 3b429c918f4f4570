//! Signals: stop, reload, upgrade.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::handle::Process;
use crate::telemetry::chain;

/// The signals that the process handles.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal to stop. Other signals stay pending.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn stop_requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal to stop. Handles other signals meanwhile.
    pub(super) async fn stop(&mut self, process: &Process) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    let process = process.clone();
                    tokio::spawn(async move { reload(&process).await });
                }
                _ = self.user2.recv() => {
                    let process = process.clone();
                    tokio::spawn(async move { upgrade(&process).await });
                }
            }
        }
    }
}

async fn reload(process: &Process) {
    if let Err(error) = process.reload().await {
        let reason = chain(&error);
        tracing::error!(
            "the new configuration is refused, the current one stays in force: {reason}"
        );
    }
}

async fn upgrade(process: &Process) {
    if let Err(error) = process.upgrade().await {
        let reason = chain(&error);
        tracing::error!("the upgrade failed, this process keeps serving: {reason}");
    }
}
