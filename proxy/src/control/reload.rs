//! Reload: the configuration file is read again and put into force.

use std::sync::Arc;

use super::worker_configs::{self, Known};
use super::{ChangeError, ChangeGuard, FrontendListeners, Prepared, blocking};
use crate::config;
use crate::worker::Command;

impl ChangeGuard<'_> {
    /// Reads the configuration file again, and loads and resolves what it names.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn prepare(&self) -> Result<Prepared, ChangeError> {
        let control = self.control;
        // A rotated log file is released, whether or not the configuration is right.
        let telemetry = Arc::clone(&control.0.handles.telemetry);
        let reopened = blocking(move || telemetry.reopen()).await?;
        reopened.map_err(ChangeError::Log)?;
        let (active, path) = {
            let state = control.state();
            (state.active.clone(), state.source.path().to_owned())
        };
        blocking(move || {
            let (mut config, source) = config::load(&path).map_err(ChangeError::Config)?;
            worker_configs::keep_restart_only(&mut config, &active.config);
            Ok(Prepared::after(config, source, &active)?)
        })
        .await?
    }

    /// Puts `prepared` into force. `listeners` are those of its frontends, in its order.
    pub fn publish(&self, mut prepared: Prepared, listeners: &mut [FrontendListeners]) {
        let control = self.control;
        let workers = &control.0.handles.workers;
        control.0.handles.telemetry.apply(&prepared.config.log);
        let mut state = control.state();
        let known = Known::Active {
            versions: &state.active.versions,
            answers: &state.answers,
        };
        let (configs, frontends) =
            worker_configs::deal(&mut prepared, listeners, workers.len(), &known);
        let mut versions = state.active.versions.clone();
        versions.replace(frontends.published);
        for listeners in &*listeners {
            listeners.announce();
        }
        for cluster in &prepared.clusters {
            cluster.publish();
        }
        for (worker, config) in workers.iter().zip(configs) {
            // A worker that is gone is stopping.
            let _ = worker.send(Command::Apply(config));
        }
        (state.active, state.source) = prepared.activate(versions, workers.len());
        state.answers = frontends.answers;
        tracing::info!("configuration in force");
    }

    /// Counts a reload by its result.
    pub fn record(&self, result: &Result<(), ChangeError>) {
        let reloads = &mut self.control.state().reloads;
        match result {
            Ok(()) => reloads.applied += 1,
            Err(_) => reloads.refused += 1,
        }
    }
}
