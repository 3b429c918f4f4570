//! From the signal to stop to the end of the last worker.

use std::time::Duration;

use super::error::StartError;
use super::handle::Process;
use super::sd_notify::{self, Phase};
use super::signals::Signals;
use super::workers::Reports;
use crate::worker::{DrainState, Ended};

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// After the last request and tunnel.
    Drained,
    /// With this many connections cut off, after `timeout.drain` or a second signal.
    Aborted(usize),
}

/// Serves until a signal to stop, or until another process has taken over; then drains.
///
/// # Errors
/// [`StartError::Start`] if a worker could not start.
pub(super) async fn supervise(
    mut signals: Signals,
    process: &Process,
    mut reports: Reports,
) -> Result<Stopped, StartError> {
    let control = process.control();
    let mut state = control.drain_state().subscribe();
    tokio::select! {
        () = signals.stop(process) => {}
        _ = state.wait_for(|state| *state != DrainState::Serving) => {}
        // A worker ends by itself only if it could not start.
        Some(Err(error)) = reports.recv() => return Err(StartError::Start(error)),
    }
    if !control.has_successor() {
        sd_notify::notify(Phase::Stopping);
    }
    let timeout: Duration = control.drain_timeout();
    tracing::info!(
        ?timeout,
        "draining: no new connections; a second signal ends at once"
    );
    control.drain();
    process.sockets().close();
    let mut drained = std::pin::pin!(aborted_connections(reports));
    let in_time = tokio::select! {
        aborted = &mut drained => Some(aborted),
        () = tokio::time::sleep(timeout) => None,
        () = signals.stop(process) => None,
    };
    let aborted = if let Some(aborted) = in_time {
        aborted
    } else {
        control.drain_state().send_replace(DrainState::Aborting);
        drained.await
    };
    if aborted == 0 {
        tracing::info!("stopped");
        Ok(Stopped::Drained)
    } else {
        tracing::warn!(connections = aborted, "stopped; connections were cut off");
        Ok(Stopped::Aborted(aborted))
    }
}

/// Waits for every worker; the connections that they have cut off.
async fn aborted_connections(mut reports: Reports) -> usize {
    let mut aborted = 0;
    while let Some(ended) = reports.recv().await {
        if let Ok(Ended::Aborted(open)) = ended {
            aborted += open;
        }
    }
    aborted
}
