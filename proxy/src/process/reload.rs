//! Reload: the sockets of a new configuration, and the service manager's part.

use super::errand;
use super::error::StartError;
use super::handle::Process;
use super::limits;
use super::sd_notify::{self, Phase};
use super::survey::resolve;
use crate::control::{ChangeError, Published, Reload};

impl Process {
    /// Reads the configuration file again and puts it into force. Returns the keys that were left
    /// as they are, since they take a restart.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed.
    pub(super) async fn reload(&self) -> Result<Vec<&'static str>, ChangeError> {
        let mut reload = self.control().begin_reload().await?;
        sd_notify::notify(Phase::Reloading);
        let result = self.apply(&mut reload).await;
        sd_notify::notify(Phase::Ready);
        self.control().record_reload(&result);
        self.control().sweep_tables().await;
        if let Ok(kept) = &result
            && !kept.is_empty()
        {
            tracing::warn!(keys = kept.join(", "), "these take a restart");
        }
        result
    }

    async fn apply(&self, reload: &mut Reload<'_>) -> Result<Vec<&'static str>, ChangeError> {
        loop {
            let (prepared, kept) = reload.prepare().await?;
            // Not while another reload binds its sockets, or a successor takes over.
            let _sockets = self.change_sockets().await;
            // Bound last, so that a mistake binds nothing, and so that the copies of the sockets
            // live no longer than needed if the process begins to drain.
            let known = self.sockets().known().clone();
            let workers = self.control().workers();
            let most = self.max_connections();
            // The threads that load plugins must not bind every port; this one may.
            let bound = errand::start("bind", move || {
                let config = prepared.config();
                let bound = known.bind(&config.frontends, workers, &resolve)?;
                let wanted = config.max_connections;
                let allowed = limits::check(wanted, most, workers, bound.addresses())?;
                Ok::<_, StartError>((prepared, bound, allowed))
            });
            let bound = bound.map_err(|error| ChangeError::Process(error.into()))?;
            let (prepared, mut bound, allowed) = bound
                .await
                .map_err(|error| ChangeError::Panicked(error.to_string()))?
                .map_err(|error| ChangeError::Process(error.into()))?;
            // Both or neither, for a worker that is being replaced.
            let mut sockets = self.sockets();
            if reload.publish(prepared, &mut bound.frontends)? == Published::InForce {
                sockets.replace(bound);
                self.control().allow_connections(allowed);
                return Ok(kept);
            }
        }
    }
}
