//! Changes of one router's version: swap, refresh, rollback.

use std::path::PathBuf;
use std::sync::Arc;

use super::{ChangeError, Control, blocking};
use crate::config::{self, PluginSource};
use crate::rollout::loader::{Loaded, VersionError};
use crate::rollout::versions::Retirement;
use crate::router::version::Version;

impl Control {
    /// Puts `plugin` into service for `frontend`, or else the configured plugin.
    ///
    /// # Errors
    /// [`ChangeError`]; the version before stays in service.
    pub async fn swap(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
    ) -> Result<Arc<Version>, ChangeError> {
        let _change = self.begin_change().await?;
        let (loaded, router) = self.load(frontend, plugin).await?;
        Ok(self.publish(frontend, loaded, router, Retirement::Replaced))
    }

    /// Puts the configured file into service if it has changed since it was last read.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub(super) async fn refresh(
        &self,
        frontend: &str,
    ) -> Result<Option<Arc<Version>>, ChangeError> {
        let _change = self.begin_change().await?;
        let task = self.task(frontend)?;
        let (file, task) = blocking(move || {
            let file = task.read()?;
            Ok::<_, VersionError>((file, task))
        })
        .await??;
        let sha256 = file.sha256();
        // Recorded even if it is refused now: once is enough.
        let is_new = self.state().active.versions.record_file(frontend, sha256);
        if !is_new {
            return Ok(None);
        }
        let router = task.router.clone();
        let loaded = blocking(move || task.run_file(file)).await??;
        let version = self.publish(frontend, loaded, router, Retirement::Replaced);
        Ok(Some(version))
    }

    /// Goes back to the version with this number, or to the last one that worked.
    ///
    /// # Errors
    /// As [`swap`](Self::swap), and [`ChangeError::NoVersion`].
    pub async fn rollback(
        &self,
        frontend: &str,
        number: Option<u32>,
    ) -> Result<Arc<Version>, ChangeError> {
        let _change = self.begin_change().await?;
        self.go_back(frontend, number, Retirement::Replaced).await
    }

    /// The same within a change under way.
    pub(super) async fn go_back(
        &self,
        frontend: &str,
        number: Option<u32>,
        reason: Retirement,
    ) -> Result<Arc<Version>, ChangeError> {
        let task = self.task(frontend)?;
        let retired = self.state().active.versions.find_retired(frontend, number);
        let retired = retired.ok_or_else(|| ChangeError::NoVersion(frontend.to_owned()))?;
        let router = retired.router.clone();
        let loaded = blocking(move || task.revert(&retired)).await??;
        Ok(self.publish(frontend, loaded, router, reason))
    }

    /// Loads `plugin` for a frontend, or else the configured plugin.
    pub(super) async fn load(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
    ) -> Result<(Loaded, config::Router), ChangeError> {
        let task = self.task(frontend)?;
        let router = task.router.clone();
        let is_configured = plugin.is_none();
        let loaded = blocking(move || task.run(plugin.as_ref())).await??;
        if is_configured {
            let sha256 = loaded.version.sha256().to_owned();
            self.state().active.versions.record_file(frontend, sha256);
        }
        Ok((loaded, router))
    }

    fn publish(
        &self,
        frontend: &str,
        loaded: Loaded,
        router: config::Router,
        reason: Retirement,
    ) -> Arc<Version> {
        let versions = &mut self.state().active.versions;
        versions.publish(&self.0.handles.workers, frontend, loaded, router, reason)
    }

    /// The plugin files to watch, each with its frontend.
    pub(super) fn watched(&self) -> Vec<(String, PathBuf)> {
        let state = self.state();
        let frontends = state.active.config.frontends.iter();
        let watched = frontends.filter_map(|frontend| {
            let router = frontend.router.as_ref().filter(|router| router.watch)?;
            match &router.plugin {
                PluginSource::File(path) => Some((frontend.name.clone(), path.clone())),
                PluginSource::Bundled(_) => None,
            }
        });
        watched.collect()
    }
}
