//! Trials that are being prepared.
//!
//! Part of the state of `control`.

use crate::rollout::ticket::Ticket;

/// The trials that are being prepared, so that they can be aborted before they begin.
#[derive(Debug, Default)]
pub(super) struct PendingTrials(Vec<PendingTrial>);

#[derive(Debug)]
struct PendingTrial {
    frontend: String,
    ticket: Ticket,
    is_aborted: bool,
}

impl PendingTrials {
    pub(super) fn begin(&mut self, frontend: &str, ticket: Ticket) {
        self.0.push(PendingTrial {
            frontend: frontend.to_owned(),
            ticket,
            is_aborted: false,
        });
    }

    /// Whether it was aborted meanwhile.
    pub(super) fn is_aborted(&self, ticket: Ticket) -> bool {
        let mut trials = self.0.iter();
        trials.any(|trial| trial.ticket == ticket && trial.is_aborted)
    }

    pub(super) fn end(&mut self, ticket: Ticket) {
        self.0.retain(|trial| trial.ticket != ticket);
    }

    /// Aborts those of a frontend; whether there was one.
    pub(super) fn abort(&mut self, frontend: &str) -> bool {
        let mut is_any = false;
        for trial in &mut self.0 {
            if trial.frontend == frontend && !trial.is_aborted {
                trial.is_aborted = true;
                is_any = true;
            }
        }
        is_any
    }
}
