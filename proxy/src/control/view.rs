//! A read-only view of the running configuration.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Control;
use super::state::Reloads;
use crate::acme::SiteStatus;
use crate::config::{self, Config, Source};
use crate::rollout::versions::{Cause, EndedTrial, RetiredVersion};
use crate::router::rollout::Rollout;
use crate::router::version::Version;
use crate::sites::Sites;
use crate::telemetry::{Answers, Telemetry};
use crate::upstream::Cluster;
use crate::worker::DrainState;

/// A frontend's router at one moment.
#[derive(Debug, Clone)]
pub struct RouterState {
    /// The frontend's name.
    pub frontend: String,
    /// In service.
    pub active: Arc<Version>,
    /// The configuration of the active version.
    pub router: config::Router,
    /// Why the active version came.
    pub cause: Cause,
    /// The rollout beside it.
    pub rollout: Option<Arc<Rollout>>,
    /// The configuration of the version under rollout.
    pub rollout_router: Option<config::Router>,
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

    /// Every frontend that has a router, in the order of the configuration.
    pub fn routers(&self) -> Vec<RouterState> {
        let state = self.state();
        let frontends = state.active.config.frontends.iter();
        let routers = frontends.filter_map(|frontend| {
            let versions = &state.active.versions;
            let published = versions.published(&frontend.name)?;
            let (rollout, rollout_router) = published.rollout.clone().unzip();
            Some(RouterState {
                frontend: frontend.name.clone(),
                active: Arc::clone(&published.active),
                router: published.router.clone(),
                cause: published.cause,
                rollout,
                rollout_router,
                ended: published.ended.clone(),
                retired: versions.retired(&frontend.name).cloned().collect(),
            })
        });
        routers.collect()
    }
}
