//! The workers' threads.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, watch};

use super::error::StartError;
use crate::connection_limiter::ConnectionLimiter;
use crate::downstream::listener::Workers;
use crate::worker::{self, Command, DrainState, Ended, WorkerConfig, WorkerSetup};

/// Stack of a worker's thread: guest code may use 512 KiB of it.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// How each worker ended.
pub(super) type Reports = mpsc::UnboundedReceiver<io::Result<Ended>>;

/// Inputs of the workers' threads besides their configurations.
pub(super) struct Threads {
    pub(super) drain: watch::Receiver<DrainState>,
    /// The receiver of each worker's commands.
    pub(super) commands: Vec<mpsc::UnboundedReceiver<Command>>,
    pub(super) limiter: Arc<ConnectionLimiter>,
    pub(super) max_connections: u32,
}

impl Threads {
    /// Starts a thread for each configuration, and returns once all of them serve.
    ///
    /// # Errors
    /// [`StartError::Start`].
    pub(super) fn start(self, configs: Vec<WorkerConfig>) -> Result<Reports, StartError> {
        let workers = configs.len();
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let (ended, mut reports) = mpsc::unbounded_channel();
        let (ready, all_ready) = std::sync::mpsc::channel();
        let parts = configs.into_iter().zip(self.commands).zip(receivers);
        for (own, ((config, commands), inbox)) in parts.enumerate() {
            let setup = WorkerSetup {
                config,
                drain: self.drain.clone(),
                commands,
                max_upstream: (self.max_connections as usize).div_ceil(workers),
                workers: Workers {
                    own,
                    limiter: Arc::clone(&self.limiter),
                    inboxes: inboxes.clone(),
                },
                inbox,
                ready: ready.clone(),
            };
            let ended = ended.clone();
            thread::Builder::new()
                .name(format!("worker-{own}"))
                .stack_size(WORKER_STACK)
                .spawn(move || {
                    // The receiver outlives every worker.
                    let _ = ended.send(worker::run(setup));
                })
                .map_err(StartError::Start)?;
        }
        drop((ended, ready));
        // Before anyone learns that this process serves, above all a predecessor.
        for _ in 0..workers {
            if all_ready.recv().is_err() {
                let failed = std::iter::from_fn(|| reports.try_recv().ok()).find_map(Result::err);
                let failed = failed.unwrap_or_else(|| io::ErrorKind::Other.into());
                return Err(StartError::Start(failed));
            }
        }
        Ok(reports)
    }
}
