//! Reload: the sockets of a new configuration, and the service manager's part.

use super::error::StartError;
use super::handle::Process;
use super::limits;
use super::sd_notify::{self, Phase};
use crate::control::{ChangeError, ChangeGuard, blocking};

impl Process {
    /// Reads the configuration file again and puts it into force.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed.
    pub(super) async fn reload(&self) -> Result<(), ChangeError> {
        let change = self.control().begin_change().await?;
        sd_notify::notify(Phase::Reloading);
        let result = self.apply(&change).await;
        sd_notify::notify(Phase::Ready);
        change.record(&result);
        result
    }

    async fn apply(&self, change: &ChangeGuard<'_>) -> Result<(), ChangeError> {
        let prepared = change.prepare().await?;
        // Bound last, so that a mistake binds nothing, and so that the copies of the sockets live
        // no longer than needed if the process begins to drain.
        let known = self.sockets().known().clone();
        let workers = self.control().workers();
        let max_connections = self.max_connections();
        let bound = blocking(move || {
            let bound = known.bind(&prepared.config().frontends, workers)?;
            limits::check(max_connections, workers, bound.addresses())?;
            Ok::<_, StartError>((prepared, bound))
        });
        let (prepared, mut bound) = bound
            .await?
            .map_err(|error| ChangeError::Process(error.into()))?;
        // Both or neither, for a worker that is being replaced.
        let mut sockets = self.sockets();
        change.publish(prepared, &mut bound.frontends);
        sockets.replace(bound);
        Ok(())
    }
}
