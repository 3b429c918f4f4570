//! Orders to the workers: another version, the start and the end of a rollout.
//!
//! Each changes the state and notifies the workers under one lock, so that all workers see the
//! changes in the same order.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::mpsc;

use super::loader::Loaded;
use super::versions::{Retirement, Versions};
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

impl Versions {
    /// Gives a version to every worker, which applies it between two requests.
    pub fn publish(
        &mut self,
        workers: &Workers,
        frontend: &str,
        loaded: Loaded,
        router: config::Router,
        reason: Retirement,
    ) -> Arc<Version> {
        let Loaded { version, instances } = loaded;
        self.activate(frontend, &version, router, reason);
        let replacements = instances
            .into_iter()
            .map(|instance| Change::Replace(Arc::clone(&version), instance));
        send(workers, frontend, replacements);
        tracing::info!(
            frontend,
            plugin = version.plugin_name(),
            version = version.number(),
            sha256 = version.sha256(),
            source = version.source(),
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
    ) -> Arc<Version> {
        let version = Arc::clone(rollout.version());
        let rollout = Arc::new(rollout);
        if let Some(published) = self.published_mut(frontend) {
            published.next = version.number() + 1;
            published.rollout = Some((Arc::clone(&rollout), router));
        }
        let starts = instances
            .into_iter()
            .map(|instance| Change::StartRollout(Arc::clone(&rollout), instance));
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

    /// Ends a rollout: its version takes over or is dropped. If `only` names a version, no other
    /// rollout ends.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub fn end_rollout(
        &mut self,
        workers: &Workers,
        frontend: &str,
        only: Option<u32>,
        end: RolloutEnd,
    ) -> Result<Arc<Version>, RolloutError> {
        let published = self.published_mut(frontend);
        let ended = published.and_then(|published| {
            published.rollout.take_if(|(rollout, _)| {
                only.is_none_or(|number| rollout.version().number() == number)
                    && !(end == RolloutEnd::Promoted && rollout.version().is_failing())
            })
        });
        let Some((rollout, router)) = ended else {
            let published = self.published(frontend);
            let is_there = published.is_some_and(|published| published.rollout.is_some());
            let error = if is_there && only.is_none() {
                RolloutError::Failing
            } else {
                RolloutError::None
            };
            return Err(error(frontend.to_owned()));
        };
        let version = Arc::clone(rollout.version());
        if end == RolloutEnd::Promoted {
            self.activate(frontend, &version, router, Retirement::Replaced);
        }
        let ends = std::iter::repeat_with(|| Change::EndRollout(end));
        send(workers, frontend, ends);
        tracing::info!(
            frontend,
            version = version.number(),
            ?end,
            "the trial has ended"
        );
        Ok(version)
    }
}

/// Sends each worker one change of a router.
fn send(workers: &Workers, frontend: &str, changes: impl IntoIterator<Item = Change>) {
    for (worker, change) in workers.iter().zip(changes) {
        // A worker that is gone is stopping.
        let _ = worker.send(Command::Router(frontend.to_owned(), change));
    }
}
