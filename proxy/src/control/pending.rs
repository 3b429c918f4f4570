//! Trials that are being prepared.
//!
//! Part of the state of `control`.

use crate::config::StageId;
use crate::rollout::ticket::Ticket;

/// Trials that are being prepared. They are recorded so that they can be aborted before they begin.
#[derive(Debug, Default)]
pub(super) struct PendingTrials(Vec<PendingTrial>);

#[derive(Debug)]
struct PendingTrial {
    stage: StageId,
    ticket: Ticket,
    is_aborted: bool,
}

impl PendingTrials {
    pub(super) fn begin(&mut self, stage: &StageId, ticket: Ticket) {
        self.0.push(PendingTrial {
            stage: stage.clone(),
            ticket,
            is_aborted: false,
        });
    }

    /// Returns whether the trial has been aborted.
    pub(super) fn is_aborted(&self, ticket: Ticket) -> bool {
        let mut trials = self.0.iter();
        trials.any(|trial| trial.ticket == ticket && trial.is_aborted)
    }

    pub(super) fn end(&mut self, ticket: Ticket) {
        self.0.retain(|trial| trial.ticket != ticket);
    }

    /// Aborts the pending trials of a stage. Returns whether there was one.
    pub(super) fn abort(&mut self, stage: &StageId) -> bool {
        let mut is_any = false;
        for trial in &mut self.0 {
            if trial.stage == *stage && !trial.is_aborted {
                trial.is_aborted = true;
                is_any = true;
            }
        }
        is_any
    }
}
