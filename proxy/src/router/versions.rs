//! From a router's configuration to a version in service: read, load, try out.
//!
//! Nothing is given to the workers that has not been compiled, checked against the world,
//! instantiated and configured once. Called by `server` before it opens a socket, and by
//! `check` and `route`. Reads files; blocks while it compiles.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::{ConfiguredBackends, Version};
use crate::config::{self, Config, PluginSource};
use crate::plugin::{
    Backends, CompiledCache, Engine, EngineLimits, Fault, LoadError, Plugin, Settings, Source,
};

/// The component of `host-suffix`, as `cargo xtask plugins` builds it.
static HOST_SUFFIX: &[u8] = include_bytes!("../../../plugins/host-suffix/host-suffix.wasm");

/// Why a router's plugin cannot serve.
#[derive(Debug, Error)]
pub enum VersionError {
    /// The file cannot be read.
    #[error("the plugin's file cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file is no plugin of this host.
    #[error("{0}")]
    Load(#[source] LoadError),
    /// It refused its configuration: `PATH: MESSAGE`, as the SDK has it, or any text.
    #[error("{0}")]
    Configure(String),
    /// It failed while it was made or configured.
    #[error("the plugin failed while it was configured: {0}")]
    Fault(#[source] Fault),
}

/// What loads plugins: one for the process.
#[derive(Debug)]
pub struct Loader {
    engine: Engine,
    cache: Option<CompiledCache>,
    backends: Arc<dyn Backends>,
}

impl Loader {
    /// Starts the engine. A cache that cannot be used is a warning: plugins are compiled
    /// at each start then.
    ///
    /// # Errors
    /// The engine's: no address space, say.
    pub fn try_new(config: &Config) -> Result<Loader, crate::plugin::EngineError> {
        let directory = config
            .cache_dir
            .clone()
            .or_else(CompiledCache::default_directory);
        let cache = directory.and_then(|directory| {
            CompiledCache::open(directory)
                .inspect_err(|error| {
                    tracing::warn!(%error, "compiled plugins are not kept");
                })
                .ok()
        });
        Ok(Loader {
            engine: Engine::try_new(limits(config))?,
            cache,
            backends: Arc::new(ConfiguredBackends::new(config)),
        })
    }

    /// The backends as a plugin sees them while it is tried out.
    pub fn backends(&self) -> &Arc<dyn Backends> {
        &self.backends
    }

    /// Loads the plugin of one frontend's router and tries it out.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn load(
        &self,
        frontend: &str,
        router: &config::Router,
        number: u32,
    ) -> Result<Arc<Version>, VersionError> {
        let source = read(&router.plugin).map_err(VersionError::Read)?;
        let plugin =
            Plugin::load(&self.engine, source, self.cache.as_ref()).map_err(VersionError::Load)?;
        let version = Version::new(number, plugin, settings(frontend, router));
        match version.instantiate(&self.backends) {
            Ok(_trial) => Ok(Arc::new(version)),
            Err(Fault::Error(message)) => Err(VersionError::Configure(message)),
            Err(fault) => Err(VersionError::Fault(fault)),
        }
    }
}

/// Room for every worker's instance of every router, in an old version and in a new one,
/// and for as many again that are on trial or about to go.
fn limits(config: &Config) -> EngineLimits {
    let routers = config
        .frontends
        .iter()
        .filter(|front| front.router.is_some());
    let instances = 4 * routers.count() * config.worker_count();
    EngineLimits {
        instances: u32::try_from(instances).unwrap_or(u32::MAX).max(16),
    }
}

fn read(source: &PluginSource) -> io::Result<Source> {
    match source {
        PluginSource::Bundled(name) => Ok(Source {
            name: name.clone(),
            // The only one there is; `config` refuses other names.
            bytes: Cow::Borrowed(HOST_SUFFIX),
        }),
        PluginSource::File(path) => Ok(Source {
            name: name_of(path),
            bytes: Cow::Owned(std::fs::read(path)?),
        }),
    }
}

/// A plugin file's name in the log: without folder and ending.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}

fn settings(frontend: &str, router: &config::Router) -> Settings {
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    Settings {
        config: router.config.to_string(),
        deadline: router.limits.deadline,
        configure_deadline: router.limits.configure_deadline,
        memory: router.limits.memory,
        host_memory: bytes(router.limits.host_memory),
        max_response: bytes(router.limits.response),
        frontend: frontend.to_owned(),
    }
}
