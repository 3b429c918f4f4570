//! The state of `control`, shared under a lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::ChangeError;
use super::pending::PendingTrials;
use super::prepared::{ActiveConfig, Prepared};
use super::superseded::Superseded;
use super::worker_configs::Frontends;
use crate::config::{Source, StageId};
use crate::rollout::task::LoadTask;
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::Versions;
use crate::telemetry::ResponseCounts;

/// The running configuration. Workers never lock it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) active: ActiveConfig,
    pub(super) source: Source,
    pub(super) response_counts: HashMap<String, Arc<ResponseCounts>>,
    pub(super) reloads: Reloads,
    pub(super) trials: PendingTrials,
    /// Replaced tables, oldest first.
    pub(super) superseded: Vec<Superseded>,
}

/// Number of reloads applied and refused since the process started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reloads {
    /// Reloads that were put into force.
    pub applied: u64,
    /// Reloads that were refused and changed nothing.
    pub refused: u64,
}

/// Whether a prepared change can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitCheck {
    /// The change can be published.
    Current,
    /// The change was prepared for another configuration.
    Stale,
}

impl State {
    /// Creates the state for the first configuration.
    pub(super) fn new(prepared: Prepared, frontends: Frontends, workers: usize) -> State {
        let versions = Versions::new(frontends.published);
        let (active, source) = prepared.activate(versions, workers);
        State {
            active,
            source,
            response_counts: frontends.response_counts,
            reloads: Reloads::default(),
            trials: PendingTrials::default(),
            superseded: Vec::new(),
        }
    }

    /// Finds the stage with this name. Without a name, finds the frontend's only stage.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`], [`ChangeError::NoStage`], [`ChangeError::WhichStage`].
    pub(super) fn find_stage(
        &self,
        frontend: &str,
        name: Option<&str>,
    ) -> Result<StageId, ChangeError> {
        let configured = self.active.config.frontend(frontend);
        let stages = configured.map_or(&[][..], |configured| &configured.router);
        let names = || stages.iter().map(|stage| stage.name.clone()).collect();
        match (stages, name) {
            ([], _) => Err(ChangeError::NoRouter(frontend.to_owned())),
            ([only], None) => Ok(StageId::new(frontend, &only.name)),
            (_, None) => Err(ChangeError::WhichStage {
                frontend: frontend.to_owned(),
                stages: names(),
            }),
            (stages, Some(name)) => {
                let id = StageId::new(frontend, name);
                if stages.iter().any(|stage| stage.name == name) {
                    Ok(id)
                } else {
                    Err(ChangeError::NoStage(id, names()))
                }
            }
        }
    }

    /// Returns the error for a stage that no longer exists.
    fn gone(&self, stage: &StageId) -> ChangeError {
        let found = self.find_stage(&stage.frontend, Some(&stage.name)).err();
        found.unwrap_or_else(|| ChangeError::NoRouter(stage.frontend.clone()))
    }

    /// Collects everything needed to load a version for a stage.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`], [`ChangeError::NoStage`].
    pub(super) fn task(&self, stage: &StageId) -> Result<LoadTask, ChangeError> {
        let task = || {
            let active = &self.active;
            Some(LoadTask {
                id: stage.clone(),
                stage: active.config.stage(stage)?.clone(),
                file: active.versions.published(stage)?.file.clone(),
                loader: Arc::clone(active.loader.as_ref()?),
                live: Arc::clone(&active.live),
                tables: Arc::clone(&active.tables),
                events: active.events.clone(),
            })
        };
        task().ok_or_else(|| self.gone(stage))
    }

    /// Checks that no request made later has changed the stage's version.
    ///
    /// # Errors
    /// [`ChangeError::Overtaken`], and the errors of [`task`](Self::task).
    pub(super) fn ensure_latest(&self, stage: &StageId, ticket: Ticket) -> Result<(), ChangeError> {
        let published = self.active.versions.published(stage);
        let published = published.ok_or_else(|| self.gone(stage))?;
        if published.order <= ticket {
            return Ok(());
        }
        let on_trial = published.rollout.as_ref();
        let version = on_trial.map_or(&published.active, |(rollout, _)| rollout.version());
        Err(ChangeError::Overtaken {
            stage: stage.clone(),
            version: version.number(),
        })
    }

    /// Returns whether a task still matches the configuration in force.
    ///
    /// # Errors
    /// Same as [`task`](Self::task).
    pub(super) fn check_commit(&self, task: &LoadTask) -> Result<CommitCheck, ChangeError> {
        let now = self.task(&task.id)?;
        Ok(if now.is_same_as(task) {
            CommitCheck::Current
        } else {
            CommitCheck::Stale
        })
    }
}
