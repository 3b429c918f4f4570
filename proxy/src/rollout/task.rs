//! One load of a plugin for one frontend, away from any lock.
//!
//! Blocks while it compiles. Created by `control` from what is in force, run on a thread of low
//! priority.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::loader::{Load, Loaded, Loader, VersionError};
use super::versions::RetiredVersion;
use crate::config::{self, PluginSource};
use crate::plugin::{Backends, Source};
use crate::router::version::WorkerEvent;

/// Everything that it takes to load a version for a frontend.
#[derive(Debug)]
pub struct LoadTask {
    /// The frontend's name.
    pub frontend: String,
    /// Its router, as configured.
    pub router: config::Router,
    /// The number of the next version.
    pub next: u32,
    /// Loads it.
    pub loader: Arc<Loader>,
    /// The backends that it can ask about.
    pub live: Arc<dyn Backends>,
    /// Receives the workers' events about it.
    pub events: mpsc::UnboundedSender<WorkerEvent>,
}

impl LoadTask {
    fn load<'a>(&'a self, plugin: &'a PluginSource, number: u32) -> Load<'a> {
        Load {
            frontend: &self.frontend,
            router: &self.router,
            plugin,
            source: None,
            number,
            backends: Arc::clone(&self.live),
            events: Some(self.events.clone()),
        }
    }

    /// Loads and tries out `plugin`, or else the configured one.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn run(&self, plugin: Option<&PluginSource>) -> Result<Loaded, VersionError> {
        let plugin = plugin.unwrap_or(&self.router.plugin);
        self.loader.load(self.load(plugin, self.next))
    }

    /// Reads the configured file without loading it.
    ///
    /// # Errors
    /// [`VersionError::Read`].
    pub fn read(&self) -> Result<Source, VersionError> {
        self.loader.read(&self.router.plugin)
    }

    /// Loads and tries out the configured plugin from what [`read`](Self::read) returned.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn run_file(&self, file: Source) -> Result<Loaded, VersionError> {
        let load = self.load(&self.router.plugin, self.next);
        self.loader.load_file(file, load)
    }

    /// Starts a retired version again: with its own configuration, among the present backends.
    ///
    /// # Errors
    /// [`VersionError`], but not for reading and loading.
    pub fn revert(&self, retired: &RetiredVersion) -> Result<Loaded, VersionError> {
        let RetiredVersion {
            version, router, ..
        } = retired;
        let load = Load {
            router,
            source: Some(version.source().to_owned()),
            ..self.load(&router.plugin, version.number())
        };
        self.loader.start(version.plugin().clone(), load)
    }
}
