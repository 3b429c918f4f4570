//! Supervision of the workers from the time they serve until the last one ends. A worker that fails
//! while the process serves is replaced.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::handle::Process;
use super::sd_notify::{self, Phase};
use super::signals::Signals;
use super::workers::{Failure, Report, Threads};
use crate::telemetry::chain;
use crate::worker::{DrainState, Ended};

/// Shortest time between two failures of one worker. A worker that fails again sooner would keep
/// failing, so the process ends, and a service manager can restart it.
const MIN_LIFE: Duration = Duration::from_secs(10);

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The last request and tunnel have ended.
    Drained,
    /// This many connections were aborted, after `timeout.drain` or a second signal.
    Aborted(usize),
    /// An internal failure, which is in the log, ended the process.
    Failed,
}

/// Serves until a signal to stop, until another process has replaced this one, or until a part of
/// the process fails that cannot be replaced. Then drains. `tasks` are parts that cannot be
/// replaced: the process ends if one of them fails.
pub(super) async fn supervise(
    mut signals: Signals,
    process: &Process,
    mut threads: Threads,
    mut tasks: JoinSet<()>,
) -> Stopped {
    let control = process.control();
    let mut state = control.drain_state().subscribe();
    let mut failed = HashMap::new();
    let mut has_failed = loop {
        tokio::select! {
            () = signals.stop(process) => break false,
            _ = state.wait_for(|state| *state != DrainState::Serving) => break false,
            Some(ended) = tasks.join_next() => if ended.is_err() {
                tracing::error!("a background task has failed: the process ends");
                break true;
            },
            Some(report) = threads.ended() => {
                if let Report::Failed(failure) = report
                    && !replace(process, &mut threads, failure, &mut failed)
                {
                    break true;
                }
            }
        }
    };
    if !control.has_successor() {
        sd_notify::notify(Phase::Stopping);
    }
    let timeout: Duration = control.drain_timeout();
    tracing::info!(
        ?timeout,
        "draining: no new connections; a second signal ends the process at once"
    );
    control.drain();
    process.sockets().close();
    let mut drained = std::pin::pin!(drained(threads));
    let in_time = tokio::select! {
        ended = &mut drained => Some(ended),
        () = tokio::time::sleep(timeout) => None,
        () = signals.stop(process) => None,
    };
    let (aborted, has_more_failed) = if let Some(ended) = in_time {
        ended
    } else {
        control.drain_state().send_replace(DrainState::Aborting);
        drained.await
    };
    has_failed |= has_more_failed;
    if aborted > 0 {
        tracing::warn!(connections = aborted, "stopped; connections were cut off");
    } else {
        tracing::info!("stopped");
    }
    match aborted {
        _ if has_failed => Stopped::Failed,
        0 => Stopped::Drained,
        aborted => Stopped::Aborted(aborted),
    }
}

/// Replaces a failed worker. Returns whether that succeeded. `failed` contains the time of each
/// worker's last failure.
fn replace(
    process: &Process,
    threads: &mut Threads,
    failure: Failure,
    failed: &mut HashMap<usize, Instant>,
) -> bool {
    let worker = failure.inputs.workers.own;
    let error = failure.error.as_ref().map(|error| chain(error));
    tracing::error!(
        worker,
        error,
        "a worker has failed; its connections are cut off"
    );
    let before = failed.insert(worker, Instant::now());
    if before.is_some_and(|before| before.elapsed() < MIN_LIFE) {
        tracing::error!(
            worker,
            "the worker has failed twice in a short time: the process ends"
        );
        return false;
    }
    match process.replace_worker(threads, failure) {
        Ok(()) => {
            tracing::warn!(worker, "the worker has been replaced");
            true
        }
        Err(error) => {
            let error = chain(&error);
            tracing::error!(
                worker,
                error,
                "the worker cannot be replaced: the process ends"
            );
            false
        }
    }
}

/// Waits for every worker to end. Returns how many connections the workers have aborted, and
/// whether a worker has failed.
async fn drained(mut threads: Threads) -> (usize, bool) {
    let (mut aborted, mut has_failed) = (0, false);
    while let Some(report) = threads.ended().await {
        match report {
            Report::Ended(Ended::Aborted(open)) => aborted += open,
            Report::Ended(Ended::Drained) => {}
            Report::Failed(failure) => {
                has_failed = true;
                let worker = failure.inputs.workers.own;
                tracing::error!(worker, "a worker has failed; its connections are cut off");
            }
        }
    }
    (aborted, has_failed)
}
