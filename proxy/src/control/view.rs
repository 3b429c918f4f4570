//! A read-only view of the running configuration.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::state::Reloads;
use super::{ChangeError, Control};
use crate::acme::SiteStatus;
use crate::config::{self, Config, Source, StageId};
use crate::rollout::versions::{Cause, EndedTrial, RetiredVersion};
use crate::router::rollout::Rollout;
use crate::router::version::Version;
use crate::sites::Sites;
use crate::telemetry::{ResponseCounts, Telemetry};
use crate::upstream::Cluster;
use crate::worker::DrainState;

/// The state of a router's stage at one moment.
#[derive(Debug, Clone)]
pub struct StageState {
    /// Identifies the stage.
    pub id: StageId,
    /// The version in service.
    pub active: Arc<Version>,
    /// The configuration of the active version.
    pub config: config::Stage,
    /// The cause that put the active version into service.
    pub cause: Cause,
    /// The rollout next to the active version, if any.
    pub rollout: Option<Arc<Rollout>>,
    /// The configuration of the version under rollout.
    pub rollout_config: Option<config::Stage>,
    /// The last trial that ended.
    pub ended: Option<EndedTrial>,
    /// Retired versions, newest first.
    pub retired: Vec<RetiredVersion>,
}

impl Control {
    /// Returns the drain state of the workers.
    pub fn state_of_workers(&self) -> DrainState {
        *self.0.handles.drain.borrow()
    }

    /// Returns the log's settings.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.handles.telemetry
    }

    /// Returns when the process began to serve.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// Returns the number of reloads applied and refused since the process started.
    pub fn reloads(&self) -> Reloads {
        self.state().reloads
    }

    /// Returns the certificates in force.
    pub fn sites(&self) -> Arc<Sites> {
        Arc::clone(&self.state().active.sites)
    }

    /// Returns the status of the ACME certificates of each site.
    pub fn acme(&self) -> Vec<SiteStatus> {
        self.0.acme.status()
    }

    /// Returns the maximum time that open requests can take after [`drain`](Self::drain).
    pub fn drain_timeout(&self) -> Duration {
        self.state().active.config.drain
    }

    /// Returns the configuration in force, with its text.
    pub fn config(&self) -> (Config, Source) {
        let state = self.state();
        (state.active.config.clone(), state.source.clone())
    }

    /// Returns the number of client connections of all workers together.
    pub fn connections(&self) -> usize {
        self.0.handles.limiter.taken()
    }

    /// Returns the number of workers.
    pub fn workers(&self) -> usize {
        self.0.handles.workers.len()
    }

    /// Returns the response counters of each frontend, in the order of the configuration.
    pub fn response_counts(&self) -> Vec<(String, Arc<ResponseCounts>)> {
        let state = self.state();
        let frontends = state.active.config.frontends.iter();
        let response_counts = frontends.filter_map(|frontend| {
            let response_counts = state.response_counts.get(&frontend.name)?;
            Some((frontend.name.clone(), Arc::clone(response_counts)))
        });
        response_counts.collect()
    }

    /// Returns the clusters in service, in the order of the configuration.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let state = self.state();
        state.active.clusters.clone()
    }

    /// Returns every stage of every router, in the order of the configuration.
    pub fn stages(&self) -> Vec<StageState> {
        let state = self.state();
        let versions = &state.active.versions;
        let stages = state.active.config.stages().filter_map(|(id, _)| {
            let published = versions.published(&id)?;
            let (rollout, rollout_config) = published.rollout.clone().unzip();
            Some(StageState {
                active: Arc::clone(&published.active),
                config: published.stage.clone(),
                cause: published.cause,
                rollout,
                rollout_config,
                ended: published.ended.clone(),
                retired: versions.retired(&id).cloned().collect(),
                id,
            })
        });
        stages.collect()
    }

    /// Finds the stage with this name. Without a name, finds the frontend's only stage.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`], [`ChangeError::NoStage`], [`ChangeError::WhichStage`].
    pub fn find_stage(&self, frontend: &str, name: Option<&str>) -> Result<StageId, ChangeError> {
        self.state().find_stage(frontend, name)
    }
}
