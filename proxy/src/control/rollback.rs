//! Rollback: on request, or automatically from a version that fails.
//!
//! A retired version is restarted from its compiled code, so a rollback never waits for a compiler.

use std::sync::Arc;

use super::attempt::MAX_ATTEMPTS;
use super::state::{CommitCheck, State};
use super::{ChangeError, Control};
use crate::config::StageId;
use crate::rollout::Publication;
use crate::rollout::loader::VersionError;
use crate::rollout::task::LoadTask;
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::{Cause, RetiredVersion, TrialEnd};
use crate::router::version::Version;

/// Reason for a rollback.
#[derive(Debug, Clone, Copy)]
enum Reason {
    /// An operator requested it.
    Request(Ticket),
    /// The version with this number had too many faults.
    Faults(u32),
}

impl Control {
    /// Rolls back to version `number`. Without a number, rolls back to the last good version before
    /// the active one that can be started.
    ///
    /// # Errors
    /// [`ChangeError`]; the active version stays in service.
    pub async fn rollback(
        &self,
        stage: &StageId,
        number: Option<u32>,
    ) -> Result<Arc<Version>, ChangeError> {
        let ticket = self.begin()?;
        let candidates = {
            let mut state = self.state();
            state.task(stage)?;
            match number {
                None => state.active.versions.good_before(stage),
                Some(number) => {
                    if let Some(version) = self.confirm(&mut state, stage, number, ticket) {
                        return Ok(version);
                    }
                    let retired = state.active.versions.find_retired(stage, number);
                    retired.into_iter().collect()
                }
            }
        };
        if let (Some(number), true) = (number, candidates.is_empty()) {
            return Err(ChangeError::NoVersion(stage.clone(), number));
        }
        self.go_back(stage, candidates, Reason::Request(ticket))
            .await
    }

    /// Rolls back from version `number`, which had too many faults. Returns None if that version is
    /// no longer in service.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub(super) async fn go_back_from_failing(
        &self,
        stage: &StageId,
        number: u32,
    ) -> Result<Option<Arc<Version>>, ChangeError> {
        let candidates = self.state().active.versions.good_before_failing(stage);
        let reason = Reason::Faults(number);
        match self.go_back(stage, candidates, reason).await {
            Ok(version) => Ok(Some(version)),
            Err(ChangeError::Overtaken { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Rolls back to the first of these versions that can be started.
    async fn go_back(
        &self,
        stage: &StageId,
        candidates: Vec<RetiredVersion>,
        reason: Reason,
    ) -> Result<Arc<Version>, ChangeError> {
        let mut refusals: Vec<(u32, VersionError)> = Vec::new();
        for candidate in candidates {
            match self.go_back_to(stage, &candidate, reason).await {
                Err(ChangeError::Version(error)) => {
                    let number = candidate.version.number();
                    tracing::warn!(
                        frontend = stage.frontend,
                        stage = stage.name,
                        version = number,
                        %error,
                        "a previous version cannot be started again"
                    );
                    refusals.push((number, error));
                }
                done => return done,
            }
        }
        if refusals.is_empty() {
            return Err(ChangeError::NothingBefore(stage.clone()));
        }
        let stage = stage.clone();
        Err(ChangeError::NoneStarts { stage, refusals })
    }

    async fn go_back_to(
        &self,
        stage: &StageId,
        target: &RetiredVersion,
        reason: Reason,
    ) -> Result<Arc<Version>, ChangeError> {
        let number = target.version.number();
        for _ in 0..MAX_ATTEMPTS {
            let retired = target.clone();
            let restarts = &self.0.changes.restarts;
            let start = move |task: &LoadTask| task.revert(&retired);
            let attempt = self.attempt(restarts, stage, reason.ticket(), start);
            let attempt = attempt.await?;
            let loaded = attempt.result?;
            let mut state = self.state();
            if state.check_commit(&attempt.task)? == CommitCheck::Stale {
                continue;
            }
            match reason {
                Reason::Faults(failing) if !state.active.versions.is_active(stage, failing) => {
                    return Err(ChangeError::Overtaken {
                        stage: stage.clone(),
                        version: failing,
                    });
                }
                Reason::Faults(_) => {}
                Reason::Request(ticket) => {
                    state.ensure_latest(stage, ticket)?;
                    // Another request may have put the version back into service in the meantime.
                    if let Some(version) = self.confirm(&mut state, stage, number, ticket) {
                        return Ok(version);
                    }
                }
            }
            let publication = Publication {
                loaded,
                number: Some(number),
                stage: target.stage.clone(),
                cause: reason.cause(),
                order: reason.ticket(),
            };
            let workers = &self.0.handles.workers;
            let versions = &mut state.active.versions;
            return Ok(versions.publish(workers, stage, publication));
        }
        Err(ChangeError::Busy)
    }
}

impl Control {
    /// Keeps version `number` if it is in service already, and ends any trial of another version.
    fn confirm(
        &self,
        state: &mut State,
        stage: &StageId,
        number: u32,
        ticket: Ticket,
    ) -> Option<Arc<Version>> {
        let versions = &mut state.active.versions;
        let version = versions.confirm(stage, number, ticket)?;
        let workers = &self.0.handles.workers;
        // Fails only if there is no trial.
        let _ = versions.drop_rollout(workers, stage, None, TrialEnd::Superseded);
        Some(version)
    }
}

impl Reason {
    fn ticket(self) -> Option<Ticket> {
        match self {
            Reason::Request(ticket) => Some(ticket),
            Reason::Faults(_) => None,
        }
    }

    fn cause(self) -> Cause {
        match self {
            Reason::Request(_) => Cause::Rollback,
            Reason::Faults(_) => Cause::Faults,
        }
    }
}
