//! The state behind the controls.

use std::collections::HashMap;
use std::sync::Arc;

use super::ChangeError;
use super::pending::PendingTrials;
use super::prepared::{ActiveConfig, Prepared};
use super::worker_configs::Frontends;
use crate::config::Source;
use crate::rollout::task::LoadTask;
use crate::rollout::ticket::Ticket;
use crate::rollout::versions::Versions;
use crate::telemetry::Answers;

/// The running configuration. No worker ever locks it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) active: ActiveConfig,
    pub(super) source: Source,
    pub(super) answers: HashMap<String, Arc<Answers>>,
    pub(super) reloads: Reloads,
    pub(super) trials: PendingTrials,
}

/// Configurations applied since the start, and refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reloads {
    /// In force, at least for a while.
    pub applied: u64,
    /// Without effect.
    pub refused: u64,
}

/// Whether what was prepared may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may.
    Current,
    /// It was prepared for another configuration.
    Stale,
}

impl State {
    /// Of the first configuration.
    pub(super) fn new(prepared: Prepared, frontends: Frontends, workers: usize) -> State {
        let versions = Versions::new(frontends.published);
        let (active, source) = prepared.activate(versions, workers);
        State {
            active,
            source,
            answers: frontends.answers,
            reloads: Reloads::default(),
            trials: PendingTrials::default(),
        }
    }

    /// Everything that loading a version for a frontend needs.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`].
    pub(super) fn task(&self, frontend: &str) -> Result<LoadTask, ChangeError> {
        let task = || {
            let active = &self.active;
            let configured = active.config.frontend(frontend)?;
            Some(LoadTask {
                frontend: frontend.to_owned(),
                router: configured.router.clone()?,
                file: active.versions.published(frontend)?.file.clone(),
                loader: Arc::clone(active.loader.as_ref()?),
                live: Arc::clone(&active.live),
                events: active.events.clone(),
            })
        };
        task().ok_or_else(|| ChangeError::NoRouter(frontend.to_owned()))
    }

    /// Checks that no later request has changed the frontend's version.
    ///
    /// # Errors
    /// [`ChangeError::Overtaken`], and [`ChangeError::NoRouter`].
    pub(super) fn ensure_latest(&self, frontend: &str, ticket: Ticket) -> Result<(), ChangeError> {
        let published = self.active.versions.published(frontend);
        let published = published.ok_or_else(|| ChangeError::NoRouter(frontend.to_owned()))?;
        if published.order <= ticket {
            return Ok(());
        }
        let on_trial = published.rollout.as_ref();
        let version = on_trial.map_or(&published.active, |(rollout, _)| rollout.version());
        Err(ChangeError::Overtaken {
            frontend: frontend.to_owned(),
            version: version.number(),
        })
    }

    /// Compares a task with what is in force.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`].
    pub(super) fn standing(&self, task: &LoadTask) -> Result<Standing, ChangeError> {
        let now = self.task(&task.frontend)?;
        Ok(if now.is_same_as(task) {
            Standing::Current
        } else {
            Standing::Stale
        })
    }
}
