//! Turns a stage's configuration into a version that can be published: reads, loads and tries out
//! its plugin.
//!
//! Workers get only versions that have been compiled, checked against the contract, instantiated,
//! configured and called once. Called by `control`, off the worker threads, and by `check` and
//! `route`. Reads files; blocks while it compiles.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use thiserror::Error;
use tokio::sync::mpsc;

use super::bundled;
use crate::config::{self, Config, Isolation, PluginSource, StageId};
use crate::memory;
use crate::plugin::{
    CompileLimits, CompiledCache, Compiler, Engine, EngineError, EngineLimits, Environment, Fault,
    Instance, LineBudget, LoadError, Origin, Plugin, Settings, Source,
};
use crate::router::version::{Policy, Version, VersionSpec, WorkerEvent};

/// Reason why a stage's plugin cannot serve. Each message is complete, for display at the plugin's
/// key.
#[derive(Debug, Error)]
pub enum VersionError {
    /// The file cannot be read.
    #[error("the plugin's file cannot be read: {0}")]
    Read(io::Error),
    /// The file is not a plugin for this host, or cannot be compiled or loaded.
    #[error(transparent)]
    Load(LoadError),
    /// The plugin refused its configuration. The message is `PATH: MESSAGE`, as the SDK formats it,
    /// or any other text.
    #[error("{0}")]
    Configure(String),
    /// The plugin failed while it was instantiated or configured.
    #[error("the plugin failed while it was configured: {0}")]
    Fault(Fault),
    /// The plugin failed on a test request: `GET /` for `localhost`.
    #[error("the plugin failed on a first request, `GET /` for `localhost`: {0}")]
    Probe(Fault),
}

impl VersionError {
    /// Returns whether loading the same file again may succeed, for example because its compiler
    /// was killed.
    pub fn is_transient(&self) -> bool {
        match self {
            VersionError::Read(_) => true,
            VersionError::Load(error) => error.is_transient(),
            VersionError::Configure(_) => false,
            VersionError::Fault(fault) | VersionError::Probe(fault) => {
                matches!(fault, Fault::Instantiate(_))
            }
        }
    }
}

/// Loads plugins for as many stages as fit in its engine.
#[derive(Debug)]
pub struct Loader {
    engine: Engine,
    cache: Option<CompiledCache>,
    workers: usize,
    /// Maximum size of a plugin file, in bytes.
    file_size: u64,
    /// Maximum number of stages, over all routers.
    capacity: usize,
}

/// A plugin to load, and the settings to run it with.
#[derive(Debug)]
pub struct Load<'a> {
    /// The frontend's name.
    pub frontend: &'a str,
    /// A stage of its router, as configured.
    pub stage: &'a config::Stage,
    /// Source of the component: the stage's own plugin, or another that replaces it.
    pub plugin: &'a PluginSource,
    /// Origin of the file, for display. If None, it is derived from `plugin`.
    pub source: Option<String>,
    /// The backends and tables that the plugin can query.
    pub environment: Environment,
    /// Channel for the workers' events about the plugin.
    pub events: Option<mpsc::UnboundedSender<WorkerEvent>>,
}

/// A loaded version, with an instance for each worker.
#[derive(Debug)]
pub struct Loaded {
    /// The version. Its number is assigned when it is published.
    pub version: Version,
    /// The instances, in the order of the workers.
    pub instances: Vec<Instance>,
}

impl Loaded {
    /// Assigns the number of the version, and wraps the version for sharing among the workers.
    pub fn numbered(self, number: u32) -> (Arc<Version>, Vec<Instance>) {
        (Arc::new(self.version.numbered(number)), self.instances)
    }
}

impl Loader {
    /// Creates an engine with room for the stages of `config` and some more. If the cache cannot be
    /// used, logs a warning: plugins are then compiled at each start.
    ///
    /// # Errors
    /// Errors of the engine, for example a lack of address space.
    pub fn try_new(
        config: &Config,
        workers: usize,
        compiler: Compiler,
    ) -> Result<Loader, EngineError> {
        let cache = cache_directory(config).and_then(|directory| {
            CompiledCache::open(directory)
                .inspect_err(|error| {
                    tracing::warn!(%error, "compiled plugins are not cached");
                })
                .ok()
        });
        let compiler = compiler.within(CompileLimits {
            memory: config.compile.memory,
            time: config.compile.time,
        });
        let capacity = stages(config) + stages(config).clamp(MIN_SPARE, MAX_SPARE);
        Ok(Loader {
            engine: Engine::try_new(limits(capacity, workers), compiler)?,
            cache,
            workers,
            file_size: config.compile.file_size,
            capacity,
        })
    }

    /// Returns whether the engine has room for all stages of `config`.
    pub fn has_room_for(&self, config: &Config) -> bool {
        stages(config) <= self.capacity
    }

    /// Loads a plugin and tries it out.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn load(&self, load: Load<'_>) -> Result<Loaded, VersionError> {
        self.load_file(self.read(load.plugin)?, load)
    }

    /// Reads a plugin's file without loading it.
    ///
    /// # Errors
    /// [`VersionError::Read`].
    pub fn read(&self, plugin: &PluginSource) -> Result<Source, VersionError> {
        read(plugin, self.file_size)
    }

    /// Loads a plugin from a file whose contents have been read already, and tries it out.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn load_file(&self, file: Source, load: Load<'_>) -> Result<Loaded, VersionError> {
        let cache = self.cache.as_ref();
        let mut plugin = Plugin::load(&self.engine, &file, cache).map_err(VersionError::Load)?;
        if load.stage.isolation == Isolation::Request {
            let settings = settings(load.frontend, load.stage);
            match plugin.snapshot(&file, &settings, &load.environment, cache) {
                Ok(snapshot) => plugin = snapshot,
                Err(reason) => tracing::info!(
                    frontend = load.frontend,
                    stage = load.stage.name,
                    plugin = plugin.name(),
                    %reason,
                    "no snapshot: each request configures its instance again"
                ),
            }
        }
        drop(file);
        if plugin.origin() == Origin::Compiled {
            memory::give_back();
        }
        self.start(&plugin, load)
    }

    /// Returns whether a loaded plugin runs on this loader's engine.
    pub fn has(&self, plugin: &Plugin) -> bool {
        plugin.is_on(&self.engine)
    }

    /// Moves a loaded plugin to this loader's engine, so that the old engine can be freed.
    ///
    /// # Errors
    /// [`VersionError::Fault`], if there is not enough memory.
    pub fn adopt(&self, plugin: &Plugin) -> Result<Plugin, VersionError> {
        if self.has(plugin) {
            return Ok(plugin.clone());
        }
        plugin.on(&self.engine).map_err(refused)
    }

    /// Returns whether a loaded plugin can be started without loading it again.
    pub fn fits(plugin: &Plugin, load: &Load<'_>) -> bool {
        match load.stage.isolation {
            Isolation::Instance => !plugin.has_snapshot(),
            Isolation::Request => {
                plugin.has_snapshot_for(&load.stage.config.to_string(), &load.environment)
            }
        }
    }

    /// Tries out a loaded plugin and creates its instances. If the stage isolates requests and the
    /// plugin does not [`fit`](Self::fits), the plugin is configured again for each request.
    ///
    /// # Errors
    /// [`VersionError`], except the variants for reading and loading.
    pub fn start(&self, plugin: &Plugin, load: Load<'_>) -> Result<Loaded, VersionError> {
        let stage = load.stage;
        let spec = VersionSpec {
            number: 0,
            plugin: self.adopt(plugin)?,
            settings: settings(load.frontend, stage),
            policy: Policy {
                isolation: stage.isolation,
                on_fault: stage.on_fault,
                max_faults: stage.max_faults,
                window: stage.fault_window,
            },
            environment: load.environment,
            workers: self.workers,
            source: load.source.unwrap_or_else(|| describe(load.plugin)),
            events: load.events,
        };
        let (version, mut instance) = Version::try_new(spec).map_err(refused)?;
        // This instance is dropped, so no state from the test request is kept.
        instance.try_out().map_err(VersionError::Probe)?;
        drop(instance);
        let instances = (0..self.workers).map(|_| version.instantiate());
        Ok(Loaded {
            instances: instances.collect::<Result<_, _>>().map_err(refused)?,
            version,
        })
    }
}

/// Reads a plugin's file of at most `limit` bytes without loading it.
///
/// # Errors
/// [`VersionError::Read`].
pub fn read(plugin: &PluginSource, limit: u64) -> Result<Source, VersionError> {
    match plugin {
        PluginSource::Bundled(name) => Ok(Source {
            name: name.clone(),
            bytes: Cow::Borrowed(bundled::component(name)),
        }),
        PluginSource::File(path) => Ok(Source {
            name: name_of(path),
            bytes: Cow::Owned(read_file(path, limit).map_err(VersionError::Read)?),
        }),
    }
}

/// Returns the directory for compiled plugins; None if there is no suitable directory.
pub fn cache_directory(config: &Config) -> Option<PathBuf> {
    let configured = config.plugin_cache_dir.clone();
    let of_user = config.user.as_deref().map(CompiledCache::directory_of);
    configured
        .or(of_user)
        .or_else(CompiledCache::default_directory)
}

fn refused(fault: Fault) -> VersionError {
    match fault {
        Fault::Error(message) => VersionError::Configure(message),
        fault => VersionError::Fault(fault),
    }
}

/// Bounds for the number of stages that reloads can add before a new engine is needed, to which all
/// plugins must move. Within the bounds, that number equals the number of configured stages.
const MIN_SPARE: usize = 4;
const MAX_SPARE: usize = 16;
/// Maximum number of versions of one stage that have instances at the same time: the active
/// version, one under rollout, one for each reload that is being prepared, and one that is being
/// dropped.
const VERSIONS: usize = 3 + MAX_RELOADS;

/// Maximum number of reloads that are prepared at the same time.
pub const MAX_RELOADS: usize = 2;
/// Maximum number of versions that are loaded at the same time, apart from reloads. Each load may
/// need a compiler.
pub const MAX_LOADS: usize = 4;
/// Maximum number of versions that are restarted at the same time. A restart needs no compiler.
pub const MAX_RESTARTS: usize = 4;

fn stages(config: &Config) -> usize {
    let frontends = config.frontends.iter();
    frontends.map(|frontend| frontend.router.len()).sum()
}

/// Computes the engine's limits. There must be room for the instances of every worker, for every
/// stage and for the versions that are being prepared.
fn limits(capacity: usize, workers: usize) -> EngineLimits {
    let versions = VERSIONS * capacity + MAX_LOADS + MAX_RESTARTS;
    let instances = versions * (workers + 1);
    EngineLimits {
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
    }
}

/// Describes a source for display.
fn describe(source: &PluginSource) -> String {
    match source {
        PluginSource::Bundled(name) => format!("bundled: {name}"),
        PluginSource::File(path) => path.display().to_string(),
    }
}

/// Reads a regular file. Refuses pipes and devices, because reading them might never end.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    let options = options.read(true);
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return refuse(format!(
            "it is longer than {limit} bytes, which `compile.file_size` allows"
        ));
    }
    Ok(bytes)
}

/// Returns the name of a plugin's file for the log, without directory and extension.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}

fn settings(frontend: &str, stage: &config::Stage) -> Settings {
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    Settings {
        config: stage.config.to_string(),
        deadline: stage.limits.deadline,
        configure_deadline: stage.limits.configure_deadline,
        memory: stage.limits.memory,
        host_memory: bytes(stage.limits.host_memory),
        max_response: bytes(stage.limits.response),
        questions: bytes(stage.limits.questions),
        stage: StageId::new(frontend, &stage.name),
        lines: LineBudget::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_tested_within_the_limits_of_a_proxy_that_sets_none() {
        let stage = config::Stage {
            name: String::new(),
            plugin: config::PluginSource::Bundled("host-suffix".to_owned()),
            config: serde_json::json!({}),
            on_fault: config::OnFault::Reject,
            max_faults: config::DEFAULT_MAX_FAULTS,
            fault_window: config::DEFAULT_FAULT_WINDOW,
            isolation: config::Isolation::Instance,
            watch: true,
            limits: config::Limits::default(),
        };
        let in_the_proxy = settings("", &stage);
        let defaults = Settings {
            // Each plugin has its own budget of log lines, so the two values differ.
            lines: in_the_proxy.lines.clone(),
            ..Settings::default()
        };
        assert_eq!(format!("{in_the_proxy:?}"), format!("{defaults:?}"));
    }
}
