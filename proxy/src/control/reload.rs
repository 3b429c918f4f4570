//! Reload: reads the configuration file again and puts it into force.

use std::sync::Arc;

use super::attempt::MAX_ATTEMPTS;
use super::changes::Permit;
use super::superseded::Superseded;
use super::tables::announce;
use super::worker_configs::{self, Known};
use super::{ChangeError, Control, FrontendListeners, Prepared, acme_sites, blocking};
use crate::config;
use crate::rollout::ticket::Ticket;
use crate::sites::Committed;
use crate::telemetry::TelemetryError;
use crate::worker::Command;

/// A reload in progress.
#[derive(Debug)]
pub struct Reload<'a> {
    control: &'a Control,
    ticket: Ticket,
    /// Result of reopening the log. The first call of [`prepare`](Self::prepare) takes the result.
    reopened: Result<(), TelemetryError>,
    attempts: usize,
    _permit: Permit<'a>,
}

/// The result of publishing a prepared configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The configuration is in force.
    InForce,
    /// Another change was published in the meantime, so the configuration must be prepared again.
    Stale,
}

impl Control {
    /// Begins a reload. If several reloads are in progress, the one that was requested last stays
    /// in force.
    ///
    /// # Errors
    /// [`ChangeError::Stopping`].
    pub async fn begin_reload(&self) -> Result<Reload<'_>, ChangeError> {
        let ticket = self.begin()?;
        // Reopen the log first. A rotated file is then released even if the configuration turns out
        // to be wrong.
        let telemetry = Arc::clone(&self.0.handles.telemetry);
        let reopened = blocking(move || telemetry.reopen()).await?;
        let permit = self.permit(&self.0.changes.reloads).await?;
        Ok(Reload {
            control: self,
            ticket,
            reopened,
            attempts: 0,
            _permit: permit,
        })
    }

    /// Counts a reload as applied or refused.
    pub fn record_reload<T>(&self, result: &Result<T, ChangeError>) {
        let reloads = &mut self.state().reloads;
        match result {
            Ok(_) => reloads.applied += 1,
            Err(_) => reloads.refused += 1,
        }
    }
}

impl Reload<'_> {
    /// Reads the configuration file again, and loads and resolves everything that it names. Also
    /// returns the changed keys that keep their old values because they require a restart.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn prepare(&mut self) -> Result<(Prepared, Vec<&'static str>), ChangeError> {
        let control = self.control;
        control.ensure_serving()?;
        self.ensure_latest()?;
        if self.attempts == MAX_ATTEMPTS {
            return Err(ChangeError::Busy);
        }
        self.attempts += 1;
        std::mem::replace(&mut self.reopened, Ok(())).map_err(ChangeError::Log)?;
        let (active, path) = {
            let state = control.state();
            (state.active.clone(), state.source.path().to_owned())
        };
        let ticket = self.ticket;
        blocking(move || {
            let (mut config, source) = config::load(&path).map_err(ChangeError::Config)?;
            let kept = worker_configs::keep_restart_only(&mut config, &active.config);
            Ok((Prepared::after(config, source, &active, ticket)?, kept))
        })
        .await?
    }

    /// Puts `prepared` into force. `listeners` are those of its frontends, in the same order.
    ///
    /// # Errors
    /// [`ChangeError::OvertakenByReload`], [`ChangeError::Stopping`].
    pub fn publish(
        &self,
        mut prepared: Prepared,
        listeners: &mut [FrontendListeners],
    ) -> Result<Published, ChangeError> {
        let control = self.control;
        control.ensure_serving()?;
        self.ensure_latest()?;
        let workers = &control.0.handles.workers;
        let mut state = control.state();
        if !prepared.is_current(&state.active) {
            return Ok(Published::Stale);
        }
        // This is the last step that can fail.
        if prepared.commit_sites() == Committed::Stale {
            return Ok(Published::Stale);
        }
        let tables_changed = prepared.commit_tables(Some(&state.active.tables));
        control.0.handles.telemetry.apply(&prepared.config.log);
        for cluster in &mut prepared.clusters {
            cluster.publish();
        }
        prepared.keep();
        let known = Known::Active {
            versions: &state.active.versions,
            response_counts: &state.response_counts,
        };
        let (configs, frontends) = worker_configs::distribute(
            &mut prepared,
            listeners,
            &control.0.challenges,
            workers.len(),
            &known,
        );
        let mut versions = state.active.versions.clone();
        versions.replace(frontends.published, frontends.renamed);
        if let Some(loader) = prepared.loader() {
            versions.move_retired(loader);
        }
        for listeners in &*listeners {
            listeners.announce();
        }
        for (worker, config) in workers.iter().zip(configs) {
            // If the channel is closed, the worker is stopping.
            let _ = worker.send(Command::Apply(config));
        }
        let tables = Arc::clone(&state.active.tables);
        (state.active, state.source) = prepared.activate(versions, workers.len());
        if !Arc::ptr_eq(&tables, &state.active.tables) {
            state.superseded.push(Superseded::now(tables));
        }
        state.response_counts = frontends.response_counts;
        let ordered = acme_sites::ordered(&state.active.config);
        control.0.acme.apply(ordered);
        tracing::info!("configuration in force");
        tables_changed.iter().for_each(announce);
        Ok(Published::InForce)
    }

    /// Checks that no reload with a later request is in force. The lock is released before the
    /// caller publishes. That is safe: only reloads change the order, and `process` publishes one
    /// reload at a time.
    fn ensure_latest(&self) -> Result<(), ChangeError> {
        if self.control.state().active.order > self.ticket {
            return Err(ChangeError::OvertakenByReload);
        }
        Ok(())
    }
}
