//! Changes to a stage's version: swap, and refresh from the configured file.

use std::path::PathBuf;
use std::sync::Arc;

use super::attempt::MAX_ATTEMPTS;
use super::state::CommitCheck;
use super::{ChangeError, Control};
use crate::config::{PluginSource, StageId};
use crate::rollout::Publication;
use crate::rollout::loader::Loaded;
use crate::rollout::task::{LoadTask, Refreshed};
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::Cause;
use crate::router::version::Version;

impl Control {
    /// Puts `plugin` into service for `stage`. If `plugin` is None, uses the configured plugin.
    ///
    /// # Errors
    /// [`ChangeError`]; the previous version stays in service.
    pub async fn swap(
        &self,
        stage: &StageId,
        plugin: Option<PluginSource>,
    ) -> Result<Arc<Version>, ChangeError> {
        let ticket = self.begin()?;
        let is_configured = plugin.is_none();
        for _ in 0..MAX_ATTEMPTS {
            let attempt = self.attempt_load(stage, plugin.clone(), ticket).await?;
            let loaded = attempt.result?;
            let accepted = is_configured.then(|| loaded.version.sha256().to_owned());
            let version = self.publish(&attempt.task, loaded, Cause::Swap, ticket, accepted)?;
            if let Some(version) = version {
                return Ok(version);
            }
        }
        Err(ChangeError::Busy)
    }

    /// Puts the configured file into service if it has changed since it was last read.
    ///
    /// # Errors
    /// Same as [`swap`](Self::swap).
    pub(super) async fn refresh(&self, stage: &StageId) -> Result<(), ChangeError> {
        let ticket = self.begin()?;
        for _ in 0..MAX_ATTEMPTS {
            let loads = &self.0.changes.loads;
            let attempt = self.attempt(loads, stage, Some(ticket), LoadTask::refresh);
            let attempt = attempt.await?;
            let loaded = match attempt.result? {
                Refreshed::Known => return Ok(()),
                Refreshed::Loaded(loaded) => *loaded,
                Refreshed::Refused(sha256, error) => {
                    if !error.is_transient() {
                        self.refuse_file(&attempt.task, sha256);
                    }
                    return Err(error.into());
                }
            };
            let accepted = Some(loaded.version.sha256().to_owned());
            let version = self.publish(&attempt.task, loaded, Cause::File, ticket, accepted)?;
            if version.is_some() {
                return Ok(());
            }
        }
        Err(ChangeError::Busy)
    }

    /// Records a refused file, so that the watcher does not load it again.
    fn refuse_file(&self, task: &LoadTask, sha256: String) {
        let mut state = self.state();
        if matches!(state.check_commit(task), Ok(CommitCheck::Current))
            && let Some(published) = state.active.versions.published_mut(&task.id)
        {
            published.file.refused = Some(sha256);
        }
    }

    /// Puts a loaded version into service. If `cause` is a changed file and an identical version is
    /// already in service, keeps that one. Returns None if the version was loaded for a
    /// configuration that is no longer in force. `accepted` is the SHA-256 of the configured file,
    /// if the version was loaded from that file.
    ///
    /// # Errors
    /// [`ChangeError::Overtaken`].
    fn publish(
        &self,
        task: &LoadTask,
        loaded: Loaded,
        cause: Cause,
        ticket: Ticket,
        accepted: Option<String>,
    ) -> Result<Option<Arc<Version>>, ChangeError> {
        let mut state = self.state();
        if state.check_commit(task)? == CommitCheck::Stale {
            return Ok(None);
        }
        let latest = state.ensure_latest(&task.id, ticket);
        if let Some(accepted) = accepted {
            // Record the file even if a later request overrides it: otherwise a reload would undo
            // that request.
            state.active.versions.accept_file(&task.id, accepted);
        }
        let published = state.active.versions.published(&task.id);
        let is_served = published
            .filter(|published| published.serves(loaded.version.sha256(), &task.stage))
            .map(|published| Arc::clone(&published.active));
        if let Some(active) = is_served
            && (cause == Cause::File || latest.is_err())
        {
            // The same version is already in service. If it were published again, `rollback` would
            // go back to the first copy of it.
            tracing::debug!(
                frontend = task.id.frontend,
                stage = task.id.name,
                "the new plugin is in service already"
            );
            return Ok(Some(active));
        }
        latest?;
        let publication = Publication {
            loaded,
            number: None,
            stage: task.stage.clone(),
            cause,
            order: Some(ticket),
        };
        let workers = &self.0.handles.workers;
        let versions = &mut state.active.versions;
        Ok(Some(versions.publish(workers, &task.id, publication)))
    }

    /// Returns the plugin files to watch, each with its stage.
    pub(super) fn watched(&self) -> Vec<(StageId, PathBuf)> {
        let state = self.state();
        let stages = state.active.config.stages();
        let watched = stages.filter_map(|(id, stage)| match &stage.plugin {
            PluginSource::File(path) if stage.watch => Some((id, path.clone())),
            PluginSource::File(_) | PluginSource::Bundled(_) => None,
        });
        watched.collect()
    }
}
