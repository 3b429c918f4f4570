//! Reload: binds the sockets of a new configuration, and notifies the service manager.

use super::dedicated_thread;
use super::error::StartError;
use super::handle::Process;
use super::limits;
use super::sd_notify::{self, Phase};
use super::survey::resolve;
use crate::control::{ChangeError, Published, Reload};

impl Process {
    /// Reads the configuration file again and puts it into force. Returns the changed keys that
    /// keep their old values because they require a restart.
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
            // Held so that no other reload binds sockets, and no successor inherits them,
            // meanwhile.
            let _sockets = self.change_sockets().await;
            // Sockets are bound last, so that an invalid configuration binds none. Handles to the
            // open sockets are also copied last: while copies exist, a process that begins to drain
            // cannot close its sockets.
            let known = self.sockets().known().clone();
            let workers = self.control().workers();
            let most = self.max_connections();
            // The threads that load plugins must not be able to bind privileged ports; this thread
            // can.
            let bound = dedicated_thread::run("bind", move || {
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
            // Locked so that a worker that is being replaced gets both the configuration and its
            // sockets, or neither.
            let mut sockets = self.sockets();
            if reload.publish(prepared, &mut bound.frontends)? == Published::InForce {
                sockets.replace(bound);
                self.control().allow_connections(allowed);
                return Ok(kept);
            }
        }
    }
}
