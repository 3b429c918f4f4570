//! The state in force, for a worker that replaces a failed one.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Control, worker_configs};
use crate::config::StageId;
use crate::downstream::listener::Listener;
use crate::router::{Change, StageUpdate};
use crate::telemetry::{Handshakes, ResponseCounts};
use crate::upstream::Cluster;
use crate::worker::{Command, FrontendConfig, WorkerConfig, WorkerInputs};

impl Control {
    /// Returns the configuration of a worker that replaces a failed worker and inherits its
    /// `inputs`. `listeners` are the failed worker's sockets by frontend, each with its `bind`.
    ///
    /// Does not wait for plugins. Instances that take long to create are provided later; until
    /// then, requests that need them are handled as `on_fault` says.
    pub fn configure_again(
        &self,
        inputs: &mut WorkerInputs,
        mut listeners: HashMap<String, Vec<(String, Listener)>>,
    ) -> WorkerConfig {
        let state = self.state();
        // The state already includes the queued commands. Commands that are sent later apply on top
        // of it.
        while inputs.commands.try_recv().is_ok() {}
        let own = inputs.workers.own;
        let mut frontends = Vec::new();
        for config in &state.active.config.frontends {
            let name = &config.name;
            let router = config.router.iter().filter_map(|stage| {
                let id = StageId::new(name, &stage.name);
                let published = state.active.versions.published(&id)?;
                if let Some((rollout, _)) = &published.rollout {
                    let change = Change::StartRollout(Arc::clone(rollout), None);
                    // Cannot fail: the receiver is in `inputs`.
                    let _ = self.0.handles.workers[own].send(Command::Stage(id, change));
                    rollout.version().order_for(own);
                }
                published.active.order_for(own);
                Some(StageUpdate::Replace(Arc::clone(&published.active), None))
            });
            let router = router.collect();
            let listeners = listeners.remove(name).unwrap_or_default();
            let sockets = listeners.iter().filter_map(|(bind, one)| {
                let mut binds = config.bind.iter();
                let index = binds.position(|known| known.address.to_string() == *bind)?;
                Some((one.name().to_owned(), index))
            });
            let response_counts = state.response_counts.get(name).map(Arc::clone);
            frontends.push(FrontendConfig {
                config: config.clone(),
                sockets: sockets.collect(),
                listeners: listeners.into_iter().map(|(_, one)| one).collect(),
                tls: worker_configs::tls(config, &state.active.sites),
                router,
                response_counts: response_counts
                    .unwrap_or_else(|| ResponseCounts::of(name, self.workers())),
                handshakes: Handshakes::of(name, self.workers()),
            });
        }
        WorkerConfig {
            frontends,
            clusters: state.active.clusters.iter().map(Cluster::current).collect(),
            challenges: Arc::clone(&self.0.challenges),
            drain_grace: worker_configs::drain_grace(&state.active.config),
        }
    }
}
