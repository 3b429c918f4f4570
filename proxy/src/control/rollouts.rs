//! Starts, promotes and aborts rollouts of a version next to the active one.

use std::sync::Arc;

use super::attempt::MAX_ATTEMPTS;
use super::state::CommitCheck;
use super::{ChangeError, Control};
use crate::config::{PluginSource, StageId};
use crate::rollout::RolloutError;
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::TrialEnd;
use crate::router::rollout::{Mode, Rollout, Share};
use crate::router::version::Version;

/// The trial or load that was aborted.
#[derive(Debug)]
pub enum Aborted {
    /// The trial of this version.
    Trial(Arc<Version>),
    /// Trials of versions that were still being loaded.
    Pending,
}

/// Registers a trial that is being prepared. Dropping the value removes the registration.
struct Pending<'a>(&'a Control, Ticket);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.state().trials.end(self.1);
    }
}

impl Control {
    /// Starts a rollout of `plugin` next to the active version. If `plugin` is None, uses the
    /// configured plugin. Replaces a rollout in progress.
    ///
    /// # Errors
    /// Same as [`swap`](Self::swap), and [`ChangeError::Aborted`].
    pub async fn start_rollout(
        &self,
        stage: &StageId,
        plugin: Option<PluginSource>,
        mode: Mode,
        share: Share,
    ) -> Result<Arc<Version>, ChangeError> {
        let ticket = self.begin()?;
        self.state().trials.begin(stage, ticket);
        let _pending = Pending(self, ticket);
        let is_configured = plugin.is_none();
        for _ in 0..MAX_ATTEMPTS {
            let attempt = self.attempt_load(stage, plugin.clone(), ticket).await?;
            let loaded = attempt.result?;
            let workers = &self.0.handles.workers;
            let mut state = self.state();
            if state.trials.is_aborted(ticket) {
                return Err(ChangeError::Aborted(stage.clone()));
            }
            if state.check_commit(&attempt.task)? == CommitCheck::Stale {
                continue;
            }
            state.ensure_latest(stage, ticket)?;
            let active = &mut state.active;
            if is_configured {
                let sha256 = loaded.version.sha256().to_owned();
                active.versions.accept_file(stage, sha256);
            }
            let published = active.versions.published(stage);
            let next = published.map_or(1, |published| published.next);
            let (version, instances) = loaded.numbered(next);
            let redact = active.config.admin.redact.clone();
            let rollout = Rollout::new(version, mode, share, redact, workers.len());
            let config = attempt.task.stage.clone();
            let versions = &mut active.versions;
            return Ok(versions.start_rollout(workers, stage, rollout, instances, config, ticket));
        }
        Err(ChangeError::Busy)
    }

    /// Makes the version on trial the active one.
    ///
    /// # Errors
    /// [`ChangeError::Rollout`].
    pub fn promote(&self, stage: &StageId) -> Result<Arc<Version>, ChangeError> {
        let ticket = self.begin()?;
        let versions = &mut self.state().active.versions;
        Ok(versions.promote(&self.0.handles.workers, stage, ticket)?)
    }

    /// Ends the trial of a stage, and aborts trials that are still being prepared. The active
    /// version stays in service.
    ///
    /// # Errors
    /// [`ChangeError::Rollout`].
    pub fn abort(&self, stage: &StageId) -> Result<Aborted, ChangeError> {
        self.ensure_serving()?;
        let mut state = self.state();
        let is_pending = state.trials.abort(stage);
        let versions = &mut state.active.versions;
        let workers = &self.0.handles.workers;
        match versions.drop_rollout(workers, stage, None, TrialEnd::Aborted) {
            Ok(version) => Ok(Aborted::Trial(version)),
            Err(_) if is_pending => Ok(Aborted::Pending),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the trial of a version that had too many faults.
    ///
    /// # Errors
    /// [`RolloutError`], if the trial has ended already.
    pub(super) fn end_failing_rollout(
        &self,
        stage: &StageId,
        number: u32,
    ) -> Result<Arc<Version>, RolloutError> {
        let versions = &mut self.state().active.versions;
        let workers = &self.0.handles.workers;
        versions.drop_rollout(workers, stage, Some(number), TrialEnd::Failed)
    }
}
