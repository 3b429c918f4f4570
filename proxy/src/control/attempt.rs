//! The preparing of a change, without a lock and for as long as it takes.
//!
//! Publishing takes the lock of the state for a moment, in which a change is compared with what
//! happened meanwhile: one that a later request has overtaken is refused, and one that was prepared
//! for another configuration is prepared again.

use tokio::sync::Semaphore;

use super::changes::Permit;
use super::{ChangeError, Control, blocking};
use crate::config::{PluginSource, StageId};
use crate::rollout::loader::{Loaded, VersionError};
use crate::rollout::task::LoadTask;
use crate::rollout::ticket::Ticket;
use crate::worker::DrainState;

/// How often a change is prepared: again after each reload that comes in between.
pub(super) const MAX_ATTEMPTS: usize = 8;

/// The result of slow work for one stage. Dropped once it is published, with its permit.
pub(super) struct Attempt<'a, T> {
    pub(super) task: LoadTask,
    pub(super) result: T,
    _permit: Permit<'a>,
}

impl Control {
    /// Begins a change that was requested now.
    ///
    /// # Errors
    /// [`ChangeError::Stopping`].
    pub(super) fn begin(&self) -> Result<Ticket, ChangeError> {
        self.ensure_serving()?;
        Ok(self.0.changes.tickets.take())
    }

    /// Checks that the workers take changes.
    ///
    /// # Errors
    /// [`ChangeError::Stopping`].
    pub fn ensure_serving(&self) -> Result<(), ChangeError> {
        match self.state_of_workers() {
            DrainState::Serving => Ok(()),
            DrainState::Draining | DrainState::Aborting => Err(ChangeError::Stopping),
        }
    }

    /// Waits for the right to prepare a change of this kind.
    pub(super) async fn permit<'a>(
        &self,
        permits: &'a Semaphore,
    ) -> Result<Permit<'a>, ChangeError> {
        // Nobody closes the semaphore.
        permits.acquire().await.map_err(|_| ChangeError::Stopping)
    }

    /// Runs slow work for a stage; of the change that `ticket` stands for, if any.
    ///
    /// # Errors
    /// [`ChangeError`], without any work for a change that is overtaken already.
    pub(super) async fn attempt<'a, T: Send + 'static>(
        &self,
        permits: &'a Semaphore,
        stage: &StageId,
        ticket: Option<Ticket>,
        work: impl FnOnce(&LoadTask) -> T + Send + 'static,
    ) -> Result<Attempt<'a, T>, ChangeError> {
        let permit = self.permit(permits).await?;
        self.ensure_serving()?;
        let task = self.state().task(stage)?;
        if let Some(ticket) = ticket {
            self.state().ensure_latest(stage, ticket)?;
        }
        let (task, result) = blocking(move || {
            let result = work(&task);
            (task, result)
        })
        .await?;
        self.ensure_serving()?;
        Ok(Attempt {
            task,
            result,
            _permit: permit,
        })
    }

    /// Loads a version for a stage from `plugin`, or else from the configured one.
    ///
    /// # Errors
    /// As [`attempt`](Self::attempt).
    pub(super) async fn attempt_load(
        &self,
        stage: &StageId,
        plugin: Option<PluginSource>,
        ticket: Ticket,
    ) -> Result<Attempt<'_, Result<Loaded, VersionError>>, ChangeError> {
        let loads = &self.0.changes.loads;
        let load = move |task: &LoadTask| task.run(plugin.as_ref());
        self.attempt(loads, stage, Some(ticket), load).await
    }
}
