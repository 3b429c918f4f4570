//! Everything in force, for a worker that takes the place of one that has failed.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ChangeError, Control, blocking, worker_configs};
use crate::downstream::listener::Listener;
use crate::plugin::{Fault, Instance};
use crate::router::Change;
use crate::router::rollout::Rollout;
use crate::router::version::Version;
use crate::worker::{Command, FrontendConfig, RouterUpdate, WorkerConfig, WorkerInputs};

/// Instances of the versions in force, by their frontends.
#[derive(Debug)]
pub struct Spares(HashMap<String, Spare>);

#[derive(Debug)]
struct Spare {
    version: Arc<Version>,
    instance: Option<Instance>,
    rollout: Option<(Arc<Rollout>, Option<Instance>)>,
}

impl Control {
    /// Creates an instance of each version in force, off the worker threads.
    ///
    /// # Errors
    /// [`ChangeError::Panicked`].
    pub async fn spares(&self) -> Result<Spares, ChangeError> {
        let versions: Vec<_> = {
            let state = self.state();
            let published = state.active.versions.all_published().iter();
            let versions = published.map(|(frontend, published)| {
                let rollout = published.rollout.as_ref();
                let rollout = rollout.map(|(rollout, _)| Arc::clone(rollout));
                (frontend.clone(), Arc::clone(&published.active), rollout)
            });
            versions.collect()
        };
        let create =
            |(frontend, version, rollout): (String, Arc<Version>, Option<Arc<Rollout>>)| {
                let spare = Spare {
                    instance: instance(&frontend, &version),
                    rollout: rollout.map(|rollout| {
                        let instance = instance(&frontend, rollout.version());
                        (rollout, instance)
                    }),
                    version,
                };
                (frontend, spare)
            };
        blocking(move || Spares(versions.into_iter().map(create).collect())).await
    }

    /// The configuration of a worker that gets the `inputs` of one that has failed; None if there
    /// are other versions in force by now. `listeners` are its sockets, by their frontends.
    pub fn configure_again(
        &self,
        inputs: &mut WorkerInputs,
        mut spares: Spares,
        mut listeners: HashMap<String, Vec<Listener>>,
    ) -> Option<WorkerConfig> {
        let state = self.state();
        let published = state.active.versions.all_published();
        let is_in_force = published.len() == spares.0.len()
            && published.iter().all(|(frontend, published)| {
                let rollout = published.rollout.as_ref().map(|(rollout, _)| rollout);
                spares.0.get(frontend).is_some_and(|spare| {
                    let spare_rollout = spare.rollout.as_ref().map(|(rollout, _)| rollout);
                    Arc::ptr_eq(&spare.version, &published.active)
                        && spare_rollout.map(Arc::as_ptr) == rollout.map(Arc::as_ptr)
                })
            });
        if !is_in_force {
            return None;
        }
        // What they say is in force already; what is sent from now on comes after it.
        while inputs.commands.try_recv().is_ok() {}
        let mut frontends = Vec::new();
        for config in &state.active.config.frontends {
            let name = &config.name;
            let spare = spares.0.remove(name);
            let router = spare.map(|spare| {
                if let Some((rollout, instance)) = spare.rollout {
                    let change = Change::StartRollout(rollout, instance);
                    let worker = &self.0.handles.workers[inputs.workers.own];
                    // Its receiver is in the inputs.
                    let _ = worker.send(Command::Router(name.clone(), change));
                }
                RouterUpdate::Replace(spare.version, spare.instance)
            });
            let listeners = listeners.remove(name).unwrap_or_default();
            let sockets = listeners.iter().map(|one| one.name().to_owned());
            frontends.push(FrontendConfig {
                config: config.clone(),
                sockets: sockets.collect(),
                listeners,
                router,
                answers: Arc::clone(state.answers.get(name)?),
            });
        }
        Some(WorkerConfig {
            frontends,
            clusters: state.active.clusters.clone(),
            drain_grace: worker_configs::drain_grace(&state.active.config),
        })
    }
}

/// None if there can be none now: the worker asks for one with the next request.
fn instance(frontend: &str, version: &Version) -> Option<Instance> {
    let created: Result<Instance, Fault> = version.instantiate();
    created
        .inspect_err(|fault| {
            let version = version.number();
            tracing::warn!(frontend, version, %fault, "no instance for a new worker");
        })
        .ok()
}
