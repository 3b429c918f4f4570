//! Runs plugins: compiled components and their instances.
//!
//! There is one [`Engine`] for all plugins, one [`Plugin`] for each file, and one [`Instance`] for
//! each worker.

mod backends;
mod backtrace;
mod bindings;
mod code;
mod contract;
mod convert;
mod decision;
mod describe;
mod draft;
mod engine;
mod fault;
mod footprint;
mod growth;
mod host;
mod instance;
mod limits;
mod link;
mod load;
mod log;
mod reads;
mod request;
mod resolve;
mod snapshot;
mod ticker;
mod wasi;

use std::sync::{Arc, Once};
use std::time::Duration;

use wasmtime::component::Instance as RawInstance;
use wasmtime::{Store, UpdateDeadline};

use self::bindings::Router;
use self::code::Code;
use self::host::State;
use self::instance::explain;
use self::limits::{Deadline, MemoryLimit, thread_time};
use self::link::Loaded;
use self::log::Log;
use self::wasi::{Origins, Wasi};
use crate::config::StageId;
use crate::plugin::compile::cache::CompiledCache;
use crate::questions::{Builder, Questions};
use crate::tables::Tables;

use self::backends::ConfiguredServers;
pub use self::backends::{BackendName, BackendState, Backends, ServerName, ServerState};
pub use self::decision::{
    Decision, Edits, FieldLine, Options, Otherwise, Response, Route, ServerChoice, Tag, Target,
    Value,
};
pub use self::engine::{Engine, EngineError};
pub use self::fault::Fault;
pub use self::instance::Instance;
pub use self::link::{LoadError, Origin};
pub use self::load::Source;
pub use self::log::LineBudget;
pub use self::reads::{Cacheability, MAX_READS, Read, Reads};
pub use self::request::{Answers, BodyPrefix, Request};
pub use self::resolve::Resolver;
pub use self::snapshot::SnapshotError;

/// Maximum number of resource handles of one instance, including those to its own resources. The
/// engine keeps some 32 bytes for each.
const MAX_COMPONENT_HANDLES: usize = 4096;

/// Settings with which one router runs its plugin. The defaults are those of the proxy's
/// configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Argument of the plugin's `configure`, as JSON.
    pub config: String,
    /// Longest time that one `route` call may take: this much processor time, or twenty times as
    /// much wall-clock time.
    ///
    /// Default 10 ms. A call ends within 2 ms after the deadline.
    pub deadline: Duration,
    /// Longest time that instantiation and `configure` may take together. Measured like `deadline`,
    /// except that time spent waiting for timers counts as well.
    ///
    /// Default 5 s: Python takes some milliseconds to start.
    pub configure_deadline: Duration,
    /// Maximum number of bytes of one instance: all of its memories and tables, and the host's data
    /// for it.
    ///
    /// Default 64 MiB: five times what Python needs.
    pub memory: u64,
    /// Maximum number of bytes that the guest can pass to the host in one call.
    ///
    /// Default 1 MiB. Bounds what a guest can make the host allocate.
    pub host_memory: usize,
    /// Maximum number of bytes of a plugin's local reply: fields and body.
    ///
    /// Default 64 KiB.
    pub max_response: usize,
    /// Maximum number of bytes of the matchers of the plugin's questions, which all instances
    /// share.
    ///
    /// Default 64 MiB.
    pub questions: usize,
    /// The stage that the plugin runs as, named in its log lines.
    pub stage: StageId,
    /// Budget of log lines, shared by all instances of the plugin.
    pub lines: LineBudget,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            config: "{}".into(),
            deadline: Duration::from_millis(10),
            configure_deadline: Duration::from_secs(5),
            memory: 64 << 20,
            host_memory: 1 << 20,
            max_response: 64 << 10,
            questions: 64 << 20,
            stage: StageId::new("", ""),
            lines: LineBudget::default(),
        }
    }
}

/// The parts of the proxy that plugins can query.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The backends of the configuration.
    pub backends: Arc<dyn Backends>,
    /// The operator's tables.
    pub tables: Arc<Tables>,
    configured_servers: Arc<ConfiguredServers>,
}

impl Environment {
    /// Creates the environment of one version. All instances of the version see the same backends
    /// and tables while they are configured.
    pub fn new(backends: Arc<dyn Backends>, tables: Arc<Tables>) -> Environment {
        Environment {
            backends,
            tables,
            configured_servers: Arc::default(),
        }
    }

    fn is(&self, other: &Environment) -> bool {
        Arc::ptr_eq(&self.backends, &other.backends) && Arc::ptr_eq(&self.tables, &other.tables)
    }
}

/// A compiled component that implements the contract's world. A clone refers to the same plugin.
#[derive(Clone)]
pub struct Plugin {
    engine: Engine,
    name: Arc<str>,
    /// SHA-256 of the original file, in hex.
    sha256: Arc<str>,
    code: Arc<Code>,
    origins: Origins,
    /// Ensures that the plugin logs only once that its `configure` makes decisions uncacheable.
    uncacheable: Arc<Once>,
    /// State that instances of the plugin start from. If None, each instance has to be configured.
    snapshot: Option<Arc<Snapshot>>,
    /// Keeps the code in memory even after [`evict`](Plugin::evict).
    _held: Option<Arc<Loaded>>,
}

/// Limits for starting an instance.
#[derive(Debug, Clone, Copy)]
struct Start {
    deadline: Duration,
    /// Whether the guest may wait for timers.
    may_wait: bool,
}

/// The state of a component after `configure`.
struct Snapshot {
    code: Code,
    config: String,
    /// The environment in which `configure` ran.
    environment: Environment,
    cacheability: Cacheability,
    questions: Arc<Questions>,
}

impl Snapshot {
    fn fits(&self, config: &str, environment: &Environment) -> bool {
        self.config == config && self.environment.is(environment)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("sha256", &self.sha256())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Encodes, compiles and checks a plugin's file; runs none of its code.
    ///
    /// Compiling can block for seconds, unless `cache` has the code. Do not call on a worker
    /// thread.
    ///
    /// # Errors
    /// [`LoadError`], which tells the plugin's author what does not fit.
    pub fn load(
        engine: &Engine,
        source: &Source,
        cache: Option<&CompiledCache>,
    ) -> Result<Plugin, LoadError> {
        let sha256 = source.sha256();
        let code = load::load(engine, &source.bytes, &sha256, cache)?;
        Ok(Plugin {
            engine: engine.clone(),
            name: Arc::from(source.name.as_str()),
            sha256: Arc::from(sha256),
            code: Arc::new(code),
            origins: Origins::new(),
            uncacheable: Arc::new(Once::new()),
            snapshot: None,
            _held: None,
        })
    }

    /// Returns the same plugin with a snapshot of its state after `configure` has run with
    /// `settings`. New instances start from the snapshot, which saves time if many are created.
    /// `source` is the file that the plugin was loaded from.
    ///
    /// Blocks as [`load`](Self::load) does, but for twice as long, unless `cache` has the code.
    ///
    /// # Errors
    /// [`SnapshotError`]; then each instance has to be configured.
    pub fn snapshot(
        &self,
        source: &Source,
        settings: &Settings,
        environment: &Environment,
        cache: Option<&CompiledCache>,
    ) -> Result<Plugin, SnapshotError> {
        let load = |component: &[u8]| {
            let sha256 = load::sha256(component);
            let code = load::load(&self.engine, component, &sha256, cache);
            code.map_err(SnapshotError::unsupported)
        };
        let (written, (cacheability, questions)) =
            snapshot::component(&source.bytes, |instrumented| {
                let instrumented = Plugin {
                    code: Arc::new(load(instrumented)?),
                    snapshot: None,
                    ..self.clone()
                };
                let start = Start {
                    deadline: settings.configure_deadline,
                    may_wait: true,
                };
                let started = instrumented.start(settings, environment, None, start);
                let (mut store, _, instance, cacheability) =
                    started.map_err(|_| SnapshotError::Refused)?;
                store
                    .data_mut()
                    .check_pure()
                    .map_err(SnapshotError::Impure)?;
                store.set_hostcall_fuel(usize::MAX);
                let questions = Arc::clone(&store.data().questions);
                Ok((store, instance, (cacheability, questions)))
            })?;
        let snapshot = Snapshot {
            code: load(&written)?,
            config: settings.config.clone(),
            environment: environment.clone(),
            cacheability,
            questions,
        };
        // The code without the snapshot is needed again only with another configuration.
        self.code.evict();
        Ok(Plugin {
            snapshot: Some(Arc::new(snapshot)),
            ..self.clone()
        })
    }

    /// Returns whether the plugin has a snapshot for this configuration and environment.
    pub fn has_snapshot_for(&self, config: &str, environment: &Environment) -> bool {
        let snapshot = self.snapshot.as_ref();
        snapshot.is_some_and(|snapshot| snapshot.fits(config, environment))
    }

    /// Returns whether instances of the plugin can start from a snapshot.
    pub fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Returns whether the plugin runs on this engine.
    pub fn is_on(&self, engine: &Engine) -> bool {
        self.engine.is(engine)
    }

    /// Returns the same plugin for another engine, which loads the code on first use.
    ///
    /// # Errors
    /// [`Fault::Instantiate`] if there is not enough memory.
    pub fn on(&self, engine: &Engine) -> Result<Plugin, Fault> {
        let snapshot = self.snapshot.as_ref().map(|snapshot| {
            Ok(Arc::new(Snapshot {
                code: snapshot.code.unloaded()?,
                config: snapshot.config.clone(),
                environment: snapshot.environment.clone(),
                cacheability: snapshot.cacheability,
                questions: Arc::clone(&snapshot.questions),
            }))
        });
        Ok(Plugin {
            engine: engine.clone(),
            code: Arc::new(self.code.unloaded().map_err(Fault::Instantiate)?),
            snapshot: snapshot.transpose().map_err(Fault::Instantiate)?,
            _held: None,
            ..self.clone()
        })
    }

    /// Returns the same plugin with its code pinned: the code stays in memory as long as the
    /// returned value or a clone of it lives. The pinned code is what instances with these
    /// arguments run.
    ///
    /// # Errors
    /// [`Fault::Instantiate`] if the code was evicted and cannot be read again.
    pub fn held(&self, settings: &Settings, environment: &Environment) -> Result<Plugin, Fault> {
        let (code, _) = self.code(settings, environment);
        let held = code.get(&self.engine).map_err(Fault::Instantiate)?;
        Ok(Plugin {
            _held: Some(held),
            ..self.clone()
        })
    }

    /// Returns the same plugin, unpinned, so that its code can be [evicted](Self::evict).
    #[must_use]
    pub fn released(&self) -> Plugin {
        Plugin {
            _held: None,
            ..self.clone()
        }
    }

    /// Returns the code that instances with these arguments run, and the snapshot that they start
    /// from, if any.
    fn code(&self, settings: &Settings, environment: &Environment) -> (&Code, Option<&Snapshot>) {
        let snapshot = self.snapshot.as_deref();
        let snapshot = snapshot.filter(|snapshot| snapshot.fits(&settings.config, environment));
        (
            snapshot.map_or(&*self.code, |snapshot| &snapshot.code),
            snapshot,
        )
    }

    /// Returns whether the host offers an import of this name.
    pub fn is_offered(import: &str) -> bool {
        link::is_offered(import)
    }

    /// Returns the plugin's name, as in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the SHA-256 of the original file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns where the code came from: compiled by [`load`](Self::load), or read from the cache.
    pub fn origin(&self) -> Origin {
        let snapshot = self.snapshot.as_ref();
        let code = snapshot.map_or(&*self.code, |snapshot| &snapshot.code);
        let loaded = code.get(&self.engine);
        // Evicted code is on disk.
        loaded.map_or(Origin::Cached, |loaded| loaded.origin)
    }

    /// Frees the memory of the plugin's code as soon as no value [holds](Self::held) the code,
    /// provided that a [`CompiledCache`] has it. The next instance reloads it.
    pub fn evict(&self) {
        self.code.evict();
        if let Some(snapshot) = &self.snapshot {
            snapshot.code.evict();
        }
    }

    /// Creates an instance and runs its `configure`, unless it starts from a snapshot.
    ///
    /// Blocks for up to `configure_deadline`: do not call on a worker thread. `known` are the
    /// questions of an earlier instance with these arguments, or None for the first instance. The
    /// new instance must define the same questions; it then shares those of the earlier one.
    ///
    /// # Errors
    /// The [`Fault`] of its start code or its `configure`, or [`Fault::Instantiate`] if there is no
    /// room for it.
    pub fn instantiate(
        &self,
        settings: &Settings,
        environment: &Environment,
        known: Option<&Arc<Questions>>,
    ) -> Result<Instance, Fault> {
        let start = Start {
            deadline: settings.configure_deadline,
            may_wait: true,
        };
        self.instance(settings, environment, known, start)
    }

    /// Creates an instance on a worker thread, for a plugin that is known to start quickly. The
    /// start of the instance and its first decision share `deadline`.
    ///
    /// # Errors
    /// Same as [`instantiate`](Self::instantiate). After [`Fault::Deadline`] or [`Fault::Waits`],
    /// start the instance on another thread.
    pub fn instantiate_on_worker(
        &self,
        settings: &Settings,
        environment: &Environment,
        known: Option<&Arc<Questions>>,
    ) -> Result<Instance, Fault> {
        let deadline = settings.deadline.min(settings.configure_deadline);
        let start = Start {
            deadline,
            may_wait: false,
        };
        let mut instance = self.instance(settings, environment, known, start)?;
        instance.deadline_of_next = deadline.saturating_sub(instance.start_time);
        Ok(instance)
    }

    fn instance(
        &self,
        settings: &Settings,
        environment: &Environment,
        known: Option<&Arc<Questions>>,
        start: Start,
    ) -> Result<Instance, Fault> {
        let before = thread_time();
        let (store, router, _, cacheability) = self.start(settings, environment, known, start)?;
        Ok(Instance {
            engine: self.engine.clone(),
            store,
            router,
            cacheability,
            start_time: thread_time().saturating_sub(before),
            deadline: settings.deadline,
            deadline_of_next: settings.deadline,
            max_response: settings.max_response,
            broken: false,
        })
    }

    fn start(
        &self,
        settings: &Settings,
        environment: &Environment,
        known: Option<&Arc<Questions>>,
        start: Start,
    ) -> Result<(Store<State>, Router, RawInstance, Cacheability), Fault> {
        let (code, snapshot) = self.code(settings, environment);
        let loaded = code.get(&self.engine).map_err(Fault::Instantiate)?;
        let stage = settings.stage.clone();
        let log = Log::new(stage, Arc::clone(&self.name), settings.lines.clone());
        let mut wasi = loaded.wasi.then(|| Box::new(Wasi::new(&log, self.origins)));
        let base = code
            .footprint()
            .saturating_add(if loaded.wasi { wasi::SIZE } else { 0 });
        let memory = MemoryLimit::new(settings.memory, base);
        if memory.is_exceeded() {
            return Err(Fault::OutOfMemory {
                limit: memory.limit(),
            });
        }
        if let Some(wasi) = &mut wasi
            && start.may_wait
        {
            wasi.allow_waits(start.deadline);
        }
        let backends = Arc::clone(&environment.backends);
        let configured_servers = Arc::clone(&environment.configured_servers);
        let deadline = Deadline::of(start.deadline);
        let mut state = State::new(backends, configured_servers, memory, deadline, log, wasi);
        match (snapshot, known) {
            (Some(snapshot), _) => state.questions = Arc::clone(&snapshot.questions),
            (None, Some(known)) => {
                state.definitions = Some(Builder::verifying(Arc::clone(known)));
            }
            (None, None) => {
                let tables = Arc::clone(&environment.tables);
                let backends = Arc::clone(&environment.backends);
                let find = Box::new(move |name: &str| backends.find(name).is_some());
                state.definitions = Some(Builder::new(settings.questions, tables, find));
            }
        }
        let mut store = Store::new(self.engine.wasmtime(), state);
        store.limiter(|state| &mut state.memory);
        // The entries of questions are read in place, but the list that contains them counts as
        // host memory.
        store.set_hostcall_fuel(settings.host_memory.max(settings.questions));
        store.set_max_component_handles(MAX_COMPONENT_HANDLES);
        store.set_epoch_deadline(ticker::FIRST_CHECK);
        store.epoch_deadline_callback(|mut store| {
            Ok(if store.data_mut().deadline.is_over() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        let config = match snapshot {
            Some(snapshot) => Err(snapshot.cacheability),
            None => Ok(settings.config.as_str()),
        };
        let started = self.configure(&loaded, &mut store, config);
        if let Some(wasi) = &mut store.data_mut().wasi {
            wasi.end();
        }
        let (router, instance, cacheability) = started?;
        store.set_hostcall_fuel(settings.host_memory);
        Ok((store, router, instance, cacheability))
    }

    /// Instantiates the component and runs `configure`, unless a snapshot contains its result.
    fn configure(
        &self,
        loaded: &Loaded,
        store: &mut Store<State>,
        config: Result<&str, Cacheability>,
    ) -> Result<(Router, RawInstance, Cacheability), Fault> {
        let _running = self.engine.running();
        let pre = loaded.pre.instance_pre();
        let made = pre.instantiate(&mut *store);
        let made = made.and_then(|instance| Ok((Router::new(&mut *store, &instance)?, instance)));
        let (router, instance) =
            made.map_err(|error| fault::from_instantiation(&error, explain(store)))?;
        if let Some(wasi) = &mut store.data_mut().wasi {
            wasi.started();
        }
        let config = match config {
            Ok(config) => config,
            Err(cacheability) => return Ok((router, instance, cacheability)),
        };
        let answer = router
            .pointsman_router_plugin()
            .call_configure(&mut *store, config)
            .map_err(|error| fault::from_call(&error, explain(store)))?;
        let state = store.data_mut();
        let defined = state.definitions.take().map(Builder::build);
        // Errors in the questions are reported before the guest's own error, since they may be its
        // cause.
        if let Some(defined) = defined {
            let defined = defined.map_err(|error| Fault::Questions(error.to_string()))?;
            store.data_mut().questions = defined;
        }
        let cacheability = answer.map_err(|message| Fault::Error(fault::text(&message)))?;
        let cacheability = self.remembered(store.data(), convert::cacheability(cacheability));
        Ok((router, instance, cacheability))
    }

    /// Returns the cacheability of the instance's decisions. If `configure` read the time or a
    /// random number, any later decision may depend on it, and another instance may decide
    /// differently.
    fn remembered(&self, state: &State, answer: Cacheability) -> Cacheability {
        if state.reads.cacheable || answer == Cacheability::Uncacheable {
            return answer;
        }
        self.uncacheable.call_once(|| {
            tracing::info!(
                plugin = self.name(),
                "`configure` read the time or random numbers: decisions are not cached"
            );
        });
        Cacheability::Uncacheable
    }
}
