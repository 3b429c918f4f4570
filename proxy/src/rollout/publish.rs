//! Commands to the workers: replace a version, start a rollout, end a rollout.
//!
//! Each function changes the state and sends the commands under one lock, so that all workers see
//! the changes in the same order.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use super::loader::Loaded;
use super::ticket::Ticket;
use super::versions::{Activation, Cause, TrialEnd, Versions};
use crate::config::{self, StageId};
use crate::plugin::Instance;
use crate::router::rollout::Rollout;
use crate::router::version::Version;
use crate::router::{Change, RolloutEnd};
use crate::worker::Command;

/// Reason why a rollout cannot end as requested.
#[derive(Debug, Error)]
pub enum RolloutError {
    /// There is no rollout to end.
    #[error("`{0}` has no version on trial")]
    None(StageId),
    /// The version under rollout has had too many faults to be promoted.
    #[error("the version on trial of `{0}` has had too many faults: its trial ends automatically")]
    Failing(StageId),
}

/// Command channels of the workers, indexed by worker number.
type Workers = [mpsc::UnboundedSender<Command>];

/// A version to put into service.
#[derive(Debug)]
pub struct Publication {
    /// The version, with an instance for each worker.
    pub loaded: Loaded,
    /// Former number of the version; None to assign the next number.
    pub number: Option<u32>,
    /// Configuration of the stage.
    pub stage: config::Stage,
    /// The cause that puts it into service.
    pub cause: Cause,
    /// When the version was requested; None for an automatic rollback because of faults.
    pub order: Option<Ticket>,
}

impl Versions {
    /// Puts a version into service. Each worker applies the change between two requests.
    pub fn publish(
        &mut self,
        workers: &Workers,
        id: &StageId,
        publication: Publication,
    ) -> Arc<Version> {
        let next = self.published(id).map_or(1, |known| known.next);
        let number = publication.number.unwrap_or(next);
        let (version, instances) = publication.loaded.numbered(number);
        let activation = Activation {
            version: Arc::clone(&version),
            stage: publication.stage,
            cause: publication.cause,
            order: publication.order,
        };
        self.activate(id, activation, TrialEnd::Superseded);
        let replacements = instances
            .into_iter()
            .map(|instance| Change::Replace(Arc::clone(&version), instance));
        send(workers, id, replacements);
        tracing::info!(
            frontend = id.frontend,
            stage = id.name,
            plugin = version.plugin_name(),
            version = number,
            sha256 = version.sha256(),
            source = version.source(),
            cause = publication.cause.name(),
            "plugin in service"
        );
        version
    }

    /// Starts a rollout next to the active version, with an instance for each worker. Replaces a
    /// rollout in progress. `stage` is the configuration of the version under rollout.
    pub fn start_rollout(
        &mut self,
        workers: &Workers,
        id: &StageId,
        rollout: Rollout,
        instances: Vec<Instance>,
        stage: config::Stage,
        order: Ticket,
    ) -> Arc<Version> {
        let version = Arc::clone(rollout.version());
        let rollout = Arc::new(rollout);
        if let Some(published) = self.published_mut(id) {
            published.end_rollout(TrialEnd::Replaced);
            published.next = version.number() + 1;
            published.order = order;
            published.rollout = Some((Arc::clone(&rollout), stage));
        }
        let starts = instances
            .into_iter()
            .map(|instance| Change::StartRollout(Arc::clone(&rollout), Some(instance)));
        send(workers, id, starts);
        tracing::info!(
            frontend = id.frontend,
            stage = id.name,
            plugin = version.plugin_name(),
            version = version.number(),
            sha256 = version.sha256(),
            source = version.source(),
            mode = rollout.mode().name(),
            percent = rollout.share().percent(),
            "plugin on trial"
        );
        version
    }

    /// Makes the version on trial the active one.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub fn promote(
        &mut self,
        workers: &Workers,
        id: &StageId,
        order: Ticket,
    ) -> Result<Arc<Version>, RolloutError> {
        let published = self.published(id);
        let Some((rollout, stage)) = published.and_then(|known| known.rollout.clone()) else {
            return Err(RolloutError::None(id.clone()));
        };
        let version = Arc::clone(rollout.version());
        if version.is_failing() {
            return Err(RolloutError::Failing(id.clone()));
        }
        let activation = Activation {
            version: Arc::clone(&version),
            stage,
            cause: Cause::Promotion,
            order: Some(order),
        };
        self.activate(id, activation, TrialEnd::Promoted);
        send_end(workers, id, &version, RolloutEnd::Promoted);
        Ok(version)
    }

    /// Drops the version on trial. If `only` is set, drops only the version with that number.
    ///
    /// # Errors
    /// [`RolloutError::None`].
    pub fn drop_rollout(
        &mut self,
        workers: &Workers,
        id: &StageId,
        only: Option<u32>,
        end: TrialEnd,
    ) -> Result<Arc<Version>, RolloutError> {
        let published = self.published_mut(id);
        let dropped = published.and_then(|published| {
            let (rollout, _) = published.rollout.as_ref()?;
            let version = Arc::clone(rollout.version());
            let is_meant = only.is_none_or(|number| version.number() == number);
            is_meant.then(|| {
                published.end_rollout(end);
                version
            })
        });
        let version = dropped.ok_or_else(|| RolloutError::None(id.clone()))?;
        send_end(workers, id, &version, RolloutEnd::Aborted);
        Ok(version)
    }
}

fn send_end(workers: &Workers, id: &StageId, version: &Version, end: RolloutEnd) {
    send(
        workers,
        id,
        std::iter::repeat_with(|| Change::EndRollout(end)),
    );
    tracing::info!(
        frontend = id.frontend,
        stage = id.name,
        version = version.number(),
        ?end,
        "trial ended"
    );
}

/// Sends each worker its own change to a stage.
fn send(workers: &Workers, id: &StageId, changes: impl IntoIterator<Item = Change>) {
    for (worker, change) in workers.iter().zip(changes) {
        // If the channel is closed, the worker is stopping.
        let _ = worker.send(Command::Stage(id.clone(), change));
    }
}
