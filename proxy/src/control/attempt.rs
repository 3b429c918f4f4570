//! Preparation of a change. It can take long, but holds no lock.
//!
//! Publishing holds the lock of the state only briefly, to check whether other changes were
//! published in the meantime. A change is refused if a later request has been completed first. A
//! change that was prepared for another configuration is prepared again.

use tokio::sync::Semaphore;

use super::changes::Permit;
use super::{ChangeError, Control, blocking};
use crate::config::{PluginSource, StageId};
use crate::rollout::loader::{Loaded, VersionError};
use crate::rollout::task::LoadTask;
use crate::rollout::ticket::Ticket;
use crate::worker::DrainState;

/// Maximum number of times that a change is prepared. It is prepared again if a reload is published
/// in the meantime.
pub(super) const MAX_ATTEMPTS: usize = 8;

/// The result of slow work for one stage, with the permit for the work. Dropped after the result is
/// published.
pub(super) struct Attempt<'a, T> {
    pub(super) task: LoadTask,
    pub(super) result: T,
    _permit: Permit<'a>,
}

impl Control {
    /// Begins a change and returns its ticket.
    ///
    /// # Errors
    /// [`ChangeError::Stopping`].
    pub(super) fn begin(&self) -> Result<Ticket, ChangeError> {
        self.ensure_serving()?;
        Ok(self.0.changes.tickets.take())
    }

    /// Checks that the workers still apply changes.
    ///
    /// # Errors
    /// [`ChangeError::Stopping`].
    pub fn ensure_serving(&self) -> Result<(), ChangeError> {
        match self.state_of_workers() {
            DrainState::Serving => Ok(()),
            DrainState::Draining | DrainState::Aborting => Err(ChangeError::Stopping),
        }
    }

    /// Waits for a permit to prepare a change of this kind.
    pub(super) async fn permit<'a>(
        &self,
        permits: &'a Semaphore,
    ) -> Result<Permit<'a>, ChangeError> {
        // The semaphore is never closed.
        permits.acquire().await.map_err(|_| ChangeError::Stopping)
    }

    /// Runs slow work for a stage. `ticket` identifies the change that the work belongs to, if any.
    ///
    /// # Errors
    /// [`ChangeError`]. If the change has been overtaken already, the work does not run.
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

    /// Loads a version for a stage from `plugin`, or from the configured plugin if `plugin` is
    /// None.
    ///
    /// # Errors
    /// Same as [`attempt`](Self::attempt).
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
