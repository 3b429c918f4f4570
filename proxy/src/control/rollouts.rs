//! Rollouts: started beside the active version, promoted, aborted.

use std::sync::Arc;

use super::{ChangeError, Control};
use crate::config::PluginSource;
use crate::rollout::RolloutError;
use crate::rollout::loader::Loaded;
use crate::router::RolloutEnd;
use crate::router::rollout::{Mode, Rollout, Share};
use crate::router::version::Version;

impl Control {
    /// Starts to roll out `plugin`, or else the configured plugin, beside the active version.
    /// Replaces a rollout under way.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub async fn start_rollout(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
        mode: Mode,
        share: Share,
    ) -> Result<Arc<Version>, ChangeError> {
        let _change = self.begin_change().await?;
        let (loaded, router) = self.load(frontend, plugin).await?;
        let Loaded { version, instances } = loaded;
        let workers = &self.0.handles.workers;
        let active = &mut self.state().active;
        let redact = active.config.admin.redact.clone();
        let rollout = Rollout::new(version, mode, share, redact, workers.len());
        Ok(active
            .versions
            .start_rollout(workers, frontend, rollout, instances, router))
    }

    /// Ends a rollout: its version takes over or is dropped.
    ///
    /// # Errors
    /// [`ChangeError::Rollout`].
    pub async fn end_rollout(
        &self,
        frontend: &str,
        end: RolloutEnd,
    ) -> Result<Arc<Version>, ChangeError> {
        let _change = self.begin_change().await?;
        Ok(self.end_rollout_of(frontend, None, end)?)
    }

    /// The same within a change under way; of this version alone if `only` names one.
    pub(super) fn end_rollout_of(
        &self,
        frontend: &str,
        only: Option<u32>,
        end: RolloutEnd,
    ) -> Result<Arc<Version>, RolloutError> {
        let versions = &mut self.state().active.versions;
        versions.end_rollout(&self.0.handles.workers, frontend, only, end)
    }
}
