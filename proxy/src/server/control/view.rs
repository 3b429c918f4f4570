//! What is in force, for who only looks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Control, Past, Reloads};
use crate::config::{Config, Source};
use crate::router::trial::Trial;
use crate::router::version::Version;
use crate::telemetry::{Answers, Telemetry};
use crate::upstream::Cluster;
use crate::worker::Order;

/// A frontend's router at one moment.
#[derive(Debug, Clone)]
pub struct RouterState {
    /// The frontend's name.
    pub frontend: String,
    /// In service.
    pub active: Arc<Version>,
    /// On trial beside it.
    pub trial: Option<Arc<Trial>>,
    /// Before it, the latest first.
    pub past: Vec<Past>,
}

impl Control {
    /// What the workers are told to do.
    pub fn order(&self) -> Order {
        *self.0.order.borrow()
    }

    /// The log's switches.
    pub fn telemetry(&self) -> &Telemetry {
        &self.0.telemetry
    }

    /// When the process began to serve.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// Configurations taken up since, and refused.
    pub fn reloads(&self) -> Reloads {
        self.state().reloads
    }

    /// How long open requests have after [`drain`](Self::drain).
    pub fn drain_timeout(&self) -> Duration {
        self.state().before.config.drain
    }

    /// The configuration in force, with its text.
    pub fn config(&self) -> (Config, Source) {
        let state = self.state();
        (state.before.config.clone(), state.source.clone())
    }

    /// Clients' connections, of all workers.
    pub fn connections(&self) -> usize {
        self.0.places.taken()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.0.workers.len()
    }

    /// What each frontend has answered, in the order of the configuration.
    pub fn answers(&self) -> Vec<(String, Arc<Answers>)> {
        let state = self.state();
        let frontends = state.before.config.frontends.iter();
        let answers = frontends.filter_map(|frontend| {
            let answers = state.answers.get(&frontend.name)?;
            Some((frontend.name.clone(), Arc::clone(answers)))
        });
        answers.collect()
    }

    /// The clusters in service, in the order of the configuration.
    pub fn clusters(&self) -> Vec<Arc<Cluster>> {
        let state = self.state();
        let clusters = state.before.clusters.iter();
        clusters.map(|config| Arc::clone(&config.cluster)).collect()
    }

    /// Every frontend that has a router, in the order of the configuration.
    pub fn routers(&self) -> Vec<RouterState> {
        let state = self.state();
        let frontends = state.before.config.frontends.iter();
        let routers = frontends.filter_map(|frontend| {
            let numbered = state.before.versions.get(&frontend.name)?;
            let past = state.history.get(&frontend.name);
            Some(RouterState {
                frontend: frontend.name.clone(),
                active: Arc::clone(&numbered.active),
                trial: numbered
                    .candidate
                    .as_ref()
                    .map(|(trial, _)| Arc::clone(trial)),
                past: past
                    .map(|past| past.iter().cloned().collect())
                    .unwrap_or_default(),
            })
        });
        routers.collect()
    }
}
