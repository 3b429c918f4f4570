//! The workers' threads.

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

/// Stack of a worker's thread: guest code may use 512 KiB of it.
const WORKER_STACK: usize = 2 * 1024 * 1024;

/// The threads that run.
#[derive(Debug)]
pub(super) struct Threads {
    running: usize,
    sender: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
}

/// How a worker ended.
#[derive(Debug)]
pub(super) enum Report {
    /// Because the process stops.
    Ended(Ended),
    /// By a fault.
    Failed(Failure),
}

/// A worker that has failed: nobody accepts from its sockets.
#[derive(Debug)]
pub(super) struct Failure {
    /// The poller's error; None for a panic, which is in the log.
    pub(super) error: Option<io::Error>,
    /// For the worker that replaces it.
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
    /// Starts a thread for each configuration, with the receiver of its commands, and returns once
    /// all of them serve.
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
        // Before anyone learns that this process serves, above all a predecessor.
        for _ in 0..workers {
            if all_ready.recv().is_err() {
                return Err(StartError::Start(threads.first_error()));
            }
        }
        Ok(threads)
    }

    /// Starts a worker in place of one that has failed.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn replace(&mut self, config: WorkerConfig, inputs: WorkerInputs) -> io::Result<()> {
        // Nobody waits for it: its sockets have their queues.
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
                // The inputs are queues, which are whole at any time.
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
                // The process may be gone in all but name.
                let _ = sender.send(report);
            })?;
        self.running += 1;
        Ok(())
    }

    /// Why a worker has not started; one has not.
    fn first_error(&mut self) -> io::Error {
        while let Some(report) = self.reports.blocking_recv() {
            if let Report::Failed(failure) = report {
                return failure.error.unwrap_or_else(|| io::ErrorKind::Other.into());
            }
        }
        io::ErrorKind::Other.into()
    }
}
