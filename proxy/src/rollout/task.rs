//! A single load of a plugin for one stage. Does not hold any lock.
//!
//! Blocks while it compiles. Created by `control` from the state in force, and run on a thread of
//! low priority.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::loader::{Load, Loaded, Loader, VersionError};
use super::versions::{ConfiguredFile, RetiredVersion};
use crate::config::{self, PluginSource, StageId};
use crate::plugin::{Backends, Environment};
use crate::router::version::WorkerEvent;
use crate::tables::Tables;

/// Everything needed to load a version for a stage.
#[derive(Debug, Clone)]
pub struct LoadTask {
    /// The stage that the version is for.
    pub id: StageId,
    /// The stage, as configured.
    pub stage: config::Stage,
    /// The configured file, as last read.
    pub file: ConfiguredFile,
    /// The loader to use.
    pub loader: Arc<Loader>,
    /// The backends that the plugin can query.
    pub live: Arc<dyn Backends>,
    /// The tables that the plugin can query.
    pub tables: Arc<Tables>,
    /// Channel for the workers' events about the plugin.
    pub events: mpsc::UnboundedSender<WorkerEvent>,
}

/// The result of checking a file that may have changed.
#[derive(Debug)]
pub enum Refreshed {
    /// The file's contents were accepted or refused before.
    Known,
    /// The plugin can serve.
    Loaded(Box<Loaded>),
    /// The plugin cannot serve. Contains the file's SHA-256 and the reason.
    Refused(String, VersionError),
}

impl LoadTask {
    fn load<'a>(&'a self, plugin: &'a PluginSource) -> Load<'a> {
        Load {
            frontend: &self.id.frontend,
            stage: &self.stage,
            plugin,
            source: None,
            environment: Environment::new(Arc::clone(&self.live), Arc::clone(&self.tables)),
            events: Some(self.events.clone()),
        }
    }

    /// Returns whether both tasks are for the same stage and load in the same way.
    pub fn is_same_as(&self, other: &LoadTask) -> bool {
        self.id == other.id
            && self.stage == other.stage
            && Arc::ptr_eq(&self.live, &other.live)
            && Arc::ptr_eq(&self.tables, &other.tables)
            // If the loader has changed, the version must not use the old engine, which must be
            // freed.
            && Arc::ptr_eq(&self.loader, &other.loader)
    }

    /// Loads and tries out `plugin`. If `plugin` is None, uses the configured plugin.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn run(&self, plugin: Option<&PluginSource>) -> Result<Loaded, VersionError> {
        let plugin = plugin.unwrap_or(&self.stage.plugin);
        self.loader.load(self.load(plugin))
    }

    /// Loads and tries out the configured plugin, unless the same contents of its file were
    /// accepted or refused before.
    ///
    /// # Errors
    /// [`VersionError::Read`].
    pub fn refresh(&self) -> Result<Refreshed, VersionError> {
        let file = self.loader.read(&self.stage.plugin)?;
        let sha256 = file.sha256();
        if sha256 == self.file.accepted || self.file.refused.as_ref() == Some(&sha256) {
            return Ok(Refreshed::Known);
        }
        let loaded = self.loader.load_file(file, self.load(&self.stage.plugin));
        Ok(match loaded {
            Ok(loaded) => Refreshed::Loaded(Box::new(loaded)),
            Err(error) => Refreshed::Refused(sha256, error),
        })
    }

    /// Restarts a retired version with its own configuration and the current backends and tables.
    ///
    /// # Errors
    /// [`VersionError`], except the variants for reading and loading.
    pub fn revert(&self, retired: &RetiredVersion) -> Result<Loaded, VersionError> {
        let RetiredVersion { version, stage, .. } = retired;
        let load = Load {
            stage,
            source: Some(version.source().to_owned()),
            ..self.load(&stage.plugin)
        };
        self.loader.start(version.plugin(), load)
    }
}
