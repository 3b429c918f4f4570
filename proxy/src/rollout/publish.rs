//! Orders to the workers: another version, the start and the end of a rollout.
//!
//! Each changes the state and notifies the workers under one lock, so that all workers see the
//! changes in the same order.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use super::loader::Loaded;
use super::ticket::Ticket;
use super::versions::{Activation, Cause, TrialEnd, Versions};
use crate::config;
use crate::plugin::Instance;
use crate::router::rollout::Rollout;
use crate::router::version::Version;
use crate::router::{Change, RolloutEnd};
use crate::worker::Command;

/// Why a rollout cannot end as requested.
#[derive(Debug, Error)]
pub enum RolloutError {
    /// There is none.
    #[error("frontend `{0}` has no version on trial")]
    None(String),
    /// Its version has had too many faults to take over.
    #[error("the version on trial of frontend `{0}` fails: its trial ends by itself")]
    Failing(String),
}

/// The workers, by their numbers.
type Workers = [mpsc::UnboundedSender<Command>];

/// A version to put into service.
#[derive(Debug)]
pub struct Publication {
    /// The version, with an instance for each worker.
    pub loaded: Loaded,
    /// Its number, if it had one before; None: the next one.
    pub number: Option<u32>,
    /// Its configuration.
    pub router: config::Router,
    /// Why it comes.
    pub cause: Cause,
    /// The request that it comes from, if any.
    pub order: Option<Ticket>,
}

impl Versions {
    /// Gives a version to every worker, which applies it between two requests.
    pub fn publish(
        &mut self,
        workers: &Workers,
        frontend: &str,
        publication: Publication,
    ) -> Arc<Version> {
        let next = self.published(frontend).map_or(1, |known| known.next);
        let number = publication.number.unwrap_or(next);
        let (version, instances) = publication.loaded.numbered(number);
        let activation = Activation {
            version: Arc::clone(&version),
            router: publication.router,
            cause: publication.cause,
            order: publication.order,
        };
        self.activate(frontend, activation, TrialEnd::Superseded);
        let replacements = instances
            .into_iter()
            .map(|instance| Change::Replace(Arc::clone(&version), instance));
        send(workers, frontend, replacements);
        tracing::info!(
            frontend,
            plugin = version.plugin_name(),
            version = number,
            sha256 = version.sha256(),
            source = version.source(),
            cause = publication.cause.name(),
            "plugin in service"
        );
        version
    }

    /// Starts a rollout beside the active version, with an instance for each worker. It replaces
    /// one under way. `router` is the configuration of its version.
    pub fn start_rollout(
        &mut self,
        workers: &Workers,
        frontend: &str,
        rollout: Rollout,
        instances: Vec<Instance>,
        router: config::Router,
        order: Ticket,
    ) -> Arc<Version> {
        let version = Arc::clone(rollout.version());
        let rollout = Arc::new(rollout);
        if let Some(published) = self.published_mut(frontend) {
            published.end_rollout(TrialEnd::Replaced);
            published.next = version.number() + 1;
            published.order = order;
            published.rollout = Some((Arc::clone(&rollout), router));
        }
        let starts = instances
            .into_iter()
            .map(|instance| Change::StartRollout(Arc::clone(&rollout), Some(instance)));
        send(workers, frontend, starts);
        tracing::info!(
            frontend,
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

    /// Puts the version on trial into service.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub fn promote(
        &mut self,
        workers: &Workers,
        frontend: &str,
        order: Ticket,
    ) -> Result<Arc<Version>, RolloutError> {
        let published = self.published(frontend);
        let Some((rollout, router)) = published.and_then(|known| known.rollout.clone()) else {
            return Err(RolloutError::None(frontend.to_owned()));
        };
        let version = Arc::clone(rollout.version());
        if version.is_failing() {
            return Err(RolloutError::Failing(frontend.to_owned()));
        }
        let activation = Activation {
            version: Arc::clone(&version),
            router,
            cause: Cause::Promotion,
            order: Some(order),
        };
        self.activate(frontend, activation, TrialEnd::Promoted);
        send_end(workers, frontend, &version, RolloutEnd::Promoted);
        Ok(version)
    }

    /// Drops the version on trial; if `only` names a version, no other.
    ///
    /// # Errors
    /// [`RolloutError::None`].
    pub fn drop_rollout(
        &mut self,
        workers: &Workers,
        frontend: &str,
        only: Option<u32>,
        end: TrialEnd,
    ) -> Result<Arc<Version>, RolloutError> {
        let published = self.published_mut(frontend);
        let dropped = published.and_then(|published| {
            let (rollout, _) = published.rollout.as_ref()?;
            let version = Arc::clone(rollout.version());
            let is_meant = only.is_none_or(|number| version.number() == number);
            is_meant.then(|| {
                published.end_rollout(end);
                version
            })
        });
        let version = dropped.ok_or_else(|| RolloutError::None(frontend.to_owned()))?;
        send_end(workers, frontend, &version, RolloutEnd::Aborted);
        Ok(version)
    }
}

fn send_end(workers: &Workers, frontend: &str, version: &Version, end: RolloutEnd) {
    send(
        workers,
        frontend,
        std::iter::repeat_with(|| Change::EndRollout(end)),
    );
    tracing::info!(
        frontend,
        version = version.number(),
        ?end,
        "the trial has ended"
    );
}

/// Sends each worker one change of a router.
fn send(workers: &Workers, frontend: &str, changes: impl IntoIterator<Item = Change>) {
    for (worker, change) in workers.iter().zip(changes) {
        // A worker that is gone is stopping.
        let _ = worker.send(Command::Router(frontend.to_owned(), change));
    }
}
