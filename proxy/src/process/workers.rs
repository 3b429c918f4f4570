//! The threads of the workers.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc as blocking};
use std::thread;

use tokio::sync::{mpsc, watch};

use super::error::StartError;
use super::privileges::give_up_bind_right;
use crate::connection_limiter::ConnectionLimiter;
use crate::downstream::listener::Workers;
use crate::worker::{self, Command, DrainState, Ended, WorkerConfig, WorkerInputs};

/// Stack size of a worker thread. Guest code can use 512 KiB of it.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// The running worker threads.
#[derive(Debug)]
pub(super) struct Threads {
    running: usize,
    sender: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
}

/// How a worker ended.
#[derive(Debug)]
pub(super) enum Report {
    /// The process is stopping.
    Ended(Ended),
    /// The worker has failed.
    Failed(Failure),
}

/// A failed worker. Nothing accepts from its sockets.
#[derive(Debug)]
pub(super) struct Failure {
    /// The poller's error; None for a panic, which is in the log.
    pub(super) error: Option<io::Error>,
    /// The inputs for the worker that replaces it.
    pub(super) inputs: WorkerInputs,
}

/// Everything that all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) drain: watch::Receiver<DrainState>,
    pub(super) limiter: Arc<ConnectionLimiter>,
    pub(super) max_connections: u32,
}

impl Threads {
    /// Starts a thread for each configuration and gives it the receiver of its commands. Returns
    /// once all workers serve.
    ///
    /// # Errors
    /// [`StartError::Start`].
    pub(super) fn start(
        configs: Vec<WorkerConfig>,
        commands: Vec<mpsc::UnboundedReceiver<Command>>,
        shared: &Shared,
    ) -> Result<Threads, StartError> {
        let workers = configs.len();
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let (sender, reports) = mpsc::unbounded_channel();
        let mut threads = Threads {
            running: 0,
            sender,
            reports,
        };
        let (ready, all_ready) = blocking::channel();
        let parts = configs.into_iter().zip(commands).zip(receivers);
        for (own, ((config, commands), inbox)) in parts.enumerate() {
            let inputs = WorkerInputs {
                drain: shared.drain.clone(),
                commands,
                max_upstream: (shared.max_connections as usize).div_ceil(workers),
                workers: Workers {
                    own,
                    limiter: Arc::clone(&shared.limiter),
                    inboxes: inboxes.clone(),
                },
                inbox,
                failed: 0,
            };
            let started = threads.spawn(config, inputs, ready.clone());
            started.map_err(StartError::Start)?;
        }
        drop(ready);
        // All workers must serve before this process reports that it serves, above all to a
        // predecessor.
        for _ in 0..workers {
            if all_ready.recv().is_err() {
                return Err(StartError::Start(threads.first_error()));
            }
        }
        Ok(threads)
    }

    /// Starts a worker in place of a failed one.
    ///
    /// # Errors
    /// If the system cannot create a thread.
    pub(super) fn replace(&mut self, config: WorkerConfig, inputs: WorkerInputs) -> io::Result<()> {
        // There is no need to wait until it is ready: clients wait in the backlogs of its sockets.
        self.spawn(config, inputs, blocking::channel().0)
    }

    /// Waits for a worker to end; None once all of them have.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn ended(&mut self) -> Option<Report> {
        if self.running == 0 {
            return None;
        }
        let report = self.reports.recv().await?;
        self.running -= 1;
        Some(report)
    }

    fn spawn(
        &mut self,
        config: WorkerConfig,
        mut inputs: WorkerInputs,
        ready: blocking::Sender<()>,
    ) -> io::Result<()> {
        let sender = self.sender.clone();
        thread::Builder::new()
            .name(format!("worker-{}", inputs.workers.own))
            .stack_size(WORKER_STACK)
            .spawn(move || {
                give_up_bind_right();
                // Unwind-safe, because the inputs are queues, which are always consistent.
                let run = || worker::run(config, &mut inputs, ready);
                let report = match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(Ok(ended)) => Report::Ended(ended),
                    Ok(Err(error)) => Report::Failed(Failure {
                        error: Some(error),
                        inputs,
                    }),
                    Err(_panic) => Report::Failed(Failure {
                        error: None,
                        inputs,
                    }),
                };
                // If the process is ending, the receiver may be gone.
                let _ = sender.send(report);
            })?;
        self.running += 1;
        Ok(())
    }

    /// Waits for the report of a worker that has failed to start, and returns its error. At least
    /// one worker must have failed.
    fn first_error(&mut self) -> io::Error {
        while let Some(report) = self.reports.blocking_recv() {
            if let Report::Failed(failure) = report {
                return failure.error.unwrap_or_else(|| io::ErrorKind::Other.into());
            }
        }
        io::ErrorKind::Other.into()
    }
}
