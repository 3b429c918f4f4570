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
use crate::telemetry::{Answers, Telemetry};
use crate::upstream::Cluster;
use crate::worker::DrainState;

/// A stage of a router at one moment.
#[derive(Debug, Clone)]
pub struct StageState {
    /// Which one it is.
    pub id: StageId,
    /// In service.
    pub active: Arc<Version>,
    /// The configuration of the active version.
    pub config: config::Stage,
    /// Why the active version came.
    pub cause: Cause,
    /// The rollout beside it.
    pub rollout: Option<Arc<Rollout>>,
    /// The configuration of the version under rollout.
    pub rollout_config: Option<config::Stage>,
    /// The rollout that ended last.
    pub ended: Option<EndedTrial>,
    /// Retired versions, the latest first.
    pub retired: Vec<RetiredVersion>,
}

impl Control {
    /// Whether the workers serve.
    pub fn state_of_workers(&self) -> DrainState {
        *self.0.handles.drain.borrow()
    }

    /// The log's switches.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.handles.telemetry
    }

    /// When the process began to serve.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// Configurations applied since the start, and refused.
    pub fn reloads(&self) -> Reloads {
        self.state().reloads
    }

    /// The certificates in force.
    pub fn sites(&self) -> Arc<Sites> {
        Arc::clone(&self.state().active.sites)
    }

    /// Certificates from ACME servers, by their sites.
    pub fn acme(&self) -> Vec<SiteStatus> {
        self.0.acme.status()
    }

    /// How long open requests have after [`drain`](Self::drain).
    pub fn drain_timeout(&self) -> Duration {
        self.state().active.config.drain
    }

    /// The configuration in force, with its text.
    pub fn config(&self) -> (Config, Source) {
        let state = self.state();
        (state.active.config.clone(), state.source.clone())
    }

    /// Clients' connections, of all workers.
    pub fn connections(&self) -> usize {
        self.0.handles.limiter.taken()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.0.handles.workers.len()
    }

    /// The answers of each frontend, in the order of the configuration.
    pub fn answers(&self) -> Vec<(String, Arc<Answers>)> {
        let state = self.state();
        let frontends = state.active.config.frontends.iter();
        let answers = frontends.filter_map(|frontend| {
            let answers = state.answers.get(&frontend.name)?;
            Some((frontend.name.clone(), Arc::clone(answers)))
        });
        answers.collect()
    }

    /// The clusters in service, in the order of the configuration.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let state = self.state();
        state.active.clusters.clone()
    }

    /// Every stage of every router, in the order of the configuration.
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

    /// The stage of this name; without one, the only stage of the frontend.
    ///
    /// # Errors
    /// [`ChangeError::NoRouter`], [`ChangeError::NoStage`], [`ChangeError::WhichStage`].
    pub fn find_stage(&self, frontend: &str, name: Option<&str>) -> Result<StageId, ChangeError> {
        self.state().find_stage(frontend, name)
    }
}
