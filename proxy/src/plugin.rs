//! The plugin host: the only door to wasmtime.
//!
//! [`Engine`] once for each process, [`Plugin`] for each file, [`Instance`] for each
//! worker. No type of wasmtime leaves this module, no body and no socket enters it, and
//! nothing that a guest does ends the process. Used by `router`.

mod backtrace;
mod bindings;
mod cache;
mod code;
mod compiler;
mod convert;
mod encode;
mod engine;
mod fault;
mod host;
mod limits;
mod load;
mod log;
mod outcome;
mod preset;
mod ticker;
mod tunables;
mod wasi;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Instance as RawInstance;
use wasmtime::{Store, UpdateDeadline};

use self::bindings::Router;
use self::code::Code;
use self::fault::Explain;
use self::host::State;
use self::limits::{MemoryLimit, Overtime};
use self::load::Loaded;
use self::log::Log;
use self::wasi::Wasi;
use crate::http::head::Head;

pub use self::cache::{CacheError, CompiledCache};
pub use self::compiler::Compiler;
pub use self::encode::EncodeError;
pub use self::engine::{Engine, EngineError};
pub use self::fault::Fault;
pub use self::load::{LoadError, Origin, Source};
pub use self::outcome::{
    BackendName, BackendState, Backends, Cacheability, Decision, Edit, MAX_READS, Outcome, Read,
    Reads, Response,
};
pub use self::preset::PresetError;
pub use self::tunables::EngineLimits;

/// Request handles that a guest may hold on to before its instance is replaced.
///
/// Guests drop the handle before they return; one with a collector may drop it later.
const MAX_HANDLES: u32 = 64;

/// How one router runs its plugin. The defaults are those of the proxy's configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the plugin's `configure` is given: JSON.
    pub config: String,
    /// Longest time that one `route` may take.
    ///
    /// Default 10 ms; counted in milliseconds, rounded up, never cut short. A tenth of it, at
    /// least 1 ms, is added in processor time, so that a thread that the system takes off its
    /// core is not at fault.
    pub deadline: Duration,
    /// Longest time that instantiation and `configure` may take together.
    ///
    /// Default 5 s: Python takes some milliseconds to start.
    pub configure_deadline: Duration,
    /// Most bytes of linear memory, over all memories of one instance.
    ///
    /// Default 64 MiB: five times what Python needs.
    pub memory: u64,
    /// Most bytes that the guest may pass to the host in one call.
    ///
    /// Default 1 MiB. Bounds what a guest can make the host allocate.
    pub host_memory: usize,
    /// Most bytes of an answer that the plugin makes itself: fields and body.
    ///
    /// Default 64 KiB.
    pub max_response: usize,
    /// Name of the frontend, for log lines of the plugin.
    pub frontend: String,
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
            frontend: String::new(),
        }
    }
}

/// A component that was compiled and fits the world. A clone is the same plugin.
#[derive(Clone)]
pub struct Plugin {
    engine: Engine,
    name: Arc<str>,
    /// SHA-256 of the file as it was given, in hex.
    sha256: Arc<str>,
    code: Arc<Code>,
    /// What its instances begin with; None: they have to be configured.
    preset: Option<Arc<Preset>>,
}

/// A component as it is once it is configured.
struct Preset {
    code: Code,
    config: String,
    /// What it was told about backends.
    backends: Arc<dyn Backends>,
    cacheability: Cacheability,
}

impl Preset {
    fn fits(&self, config: &str, backends: &Arc<dyn Backends>) -> bool {
        self.config == config && Arc::ptr_eq(&self.backends, backends)
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
    /// Blocks for as long as compiling takes, up to seconds, unless `cache` has the code:
    /// not to be called on a worker's thread.
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
            preset: None,
        })
    }

    /// The same plugin, whose instances begin as they are once `configure` has run with
    /// `settings`: for who makes many of them. `source` is what it was loaded from.
    ///
    /// Blocks as [`load`](Self::load) does, twice as long, unless `cache` has the code.
    ///
    /// # Errors
    /// [`PresetError`]; then each instance has to be configured.
    pub fn preset(
        &self,
        source: &Source,
        settings: &Settings,
        backends: &Arc<dyn Backends>,
        cache: Option<&CompiledCache>,
    ) -> Result<Plugin, PresetError> {
        let component = encode::component(&source.bytes).map_err(PresetError::unsupported)?;
        let load = |component: &[u8]| {
            let sha256 = load::sha256(component);
            let code = load::load(&self.engine, component, &sha256, cache);
            code.map_err(PresetError::unsupported)
        };
        let (written, cacheability) = preset::component(&component, |instrumented| {
            let instrumented = Plugin {
                code: Arc::new(load(instrumented)?),
                preset: None,
                ..self.clone()
            };
            let started = instrumented.start(settings, Arc::clone(backends));
            let (mut store, _, instance, cacheability) =
                started.map_err(|_| PresetError::Refused)?;
            store.data_mut().check_pure().map_err(PresetError::Impure)?;
            store.set_hostcall_fuel(usize::MAX);
            Ok((store, instance, cacheability))
        })?;
        let preset = Preset {
            code: load(&written)?,
            config: settings.config.clone(),
            backends: Arc::clone(backends),
            cacheability,
        };
        // Of use again only with another configuration.
        self.code.put_away();
        Ok(Plugin {
            preset: Some(Arc::new(preset)),
            ..self.clone()
        })
    }

    /// Whether its instances need not be configured with this, among these backends.
    pub fn is_preset_for(&self, config: &str, backends: &Arc<dyn Backends>) -> bool {
        let preset = self.preset.as_ref();
        preset.is_some_and(|preset| preset.fits(config, backends))
    }

    /// Whether its instances are configured already.
    pub fn is_preset(&self) -> bool {
        self.preset.is_some()
    }

    /// Whether it is the other, loaded once for both.
    pub fn shares_code(&self, other: &Plugin) -> bool {
        Arc::ptr_eq(&self.code, &other.code)
    }

    /// Whether an import of this name is one that the host has.
    pub fn is_offered(import: &str) -> bool {
        load::is_offered(import)
    }

    /// As in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file as it was given, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether [`load`](Self::load) compiled it.
    pub fn origin(&self) -> Origin {
        let preset = self.preset.as_ref();
        let code = preset.map_or(&*self.code, |preset| &preset.code);
        let loaded = code.get(&self.engine);
        // What was put away is on disk.
        loaded.map_or(Origin::Cached, |loaded| loaded.origin)
    }

    /// Gives its code's memory back, where a [`CompiledCache`] has it, until the next instance
    /// is made.
    pub fn put_away(&self) {
        self.code.put_away();
        if let Some(preset) = &self.preset {
            preset.code.put_away();
        }
    }

    /// Makes an instance and runs its `configure`, unless it is preset.
    ///
    /// # Errors
    /// A [`Fault`] of its start code or its `configure`, or [`Fault::Instantiate`] where
    /// there is no room for it.
    pub fn instantiate(
        &self,
        settings: &Settings,
        backends: Arc<dyn Backends>,
    ) -> Result<Instance, Fault> {
        let (store, router, _, cacheability) = self.start(settings, backends)?;
        Ok(Instance {
            engine: self.engine.clone(),
            store,
            router,
            cacheability,
            deadline: settings.deadline,
            max_response: settings.max_response,
            broken: false,
        })
    }

    fn start(
        &self,
        settings: &Settings,
        backends: Arc<dyn Backends>,
    ) -> Result<(Store<State>, Router, RawInstance, Cacheability), Fault> {
        let preset = self.preset.as_ref();
        let preset = preset.filter(|preset| preset.fits(&settings.config, &backends));
        let code = preset.map_or(&*self.code, |preset| &preset.code);
        let loaded = code.get(&self.engine).map_err(Fault::Instantiate)?;
        let log = Log::new(settings.frontend.clone(), Arc::clone(&self.name));
        let wasi = loaded.wasi.then(|| Box::new(Wasi::new(&log)));
        let memory = MemoryLimit::new(settings.memory);
        let overtime = Overtime::of(settings.configure_deadline);
        let state = State::new(backends, memory, overtime, log, wasi);
        let mut store = Store::new(self.engine.wasmtime(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(settings.host_memory);
        store.set_epoch_deadline(ticker::ticks(settings.configure_deadline));
        store.epoch_deadline_callback(|mut store| {
            Ok(if store.data_mut().overtime.is_over() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Continue(1)
            })
        });
        if let Some(wasi) = &mut store.data_mut().wasi {
            wasi.begin(settings.configure_deadline);
        }
        let config = match preset {
            Some(preset) => Err(preset.cacheability),
            None => Ok(settings.config.as_str()),
        };
        let started = self.configure(&loaded, &mut store, config);
        if let Some(wasi) = &mut store.data_mut().wasi {
            wasi.end();
        }
        let (router, instance, cacheability) = started?;
        Ok((store, router, instance, cacheability))
    }

    /// Makes an instance and configures it, unless its answer is known.
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
        let config = match config {
            Ok(config) => config,
            Err(cacheability) => return Ok((router, instance, cacheability)),
        };
        let answer = router
            .pointsman_router_plugin()
            .call_configure(&mut *store, config)
            .map_err(|error| fault::from_call(&error, explain(store)))?;
        let cacheability = answer.map_err(|message| Fault::Error(fault::text(&message)))?;
        Ok((router, instance, convert::cacheability(cacheability)))
    }
}

/// One running copy of a plugin, for one worker.
pub struct Instance {
    engine: Engine,
    store: Store<State>,
    router: Router,
    cacheability: Cacheability,
    deadline: Duration,
    max_response: usize,
    /// A call ended in a trap: nothing in the guest can be relied upon.
    broken: bool,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("cacheability", &self.cacheability)
            .field("memory", &self.memory())
            .field("spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// What `configure` answered.
    pub fn cacheability(&self) -> Cacheability {
        self.cacheability
    }

    /// One decision.
    ///
    /// Blocks the thread, at most for the deadline. The head is moved in and out, not
    /// copied, and is as it was: edits are in the outcome. `attempt` is the number of
    /// backends tried before. `reads` is cleared, then filled with what the guest read,
    /// also where it ends in a fault.
    ///
    /// # Errors
    /// A [`Fault`]; then see [`is_spent`](Self::is_spent).
    pub fn route(
        &mut self,
        head: Head,
        attempt: u32,
        reads: &mut Reads,
    ) -> (Head, Result<Outcome, Fault>) {
        let state = self.store.data_mut();
        std::mem::swap(&mut state.reads, reads);
        let handle = state.begin(head, attempt);
        state.overtime = Overtime::of(self.deadline);
        if let Some(wasi) = &mut state.wasi {
            wasi.begin(self.deadline);
        }
        self.store.set_epoch_deadline(ticker::ticks(self.deadline));

        let running = self.engine.running();
        let answer = self
            .router
            .pointsman_router_plugin()
            .call_route(&mut self.store, handle);
        drop(running);

        let state = self.store.data_mut();
        let (head, edits) = state.end();
        std::mem::swap(&mut state.reads, reads);
        if let Some(wasi) = &mut state.wasi {
            wasi.end();
        }
        (head, self.outcome(answer, edits))
    }

    /// Whether the instance must not be used again: a call ended in a trap, an overrun
    /// deadline or the like, or the guest keeps the handles of its requests.
    ///
    /// An error that `route` returned, or a decision that is not valid, leaves it usable.
    pub fn is_spent(&self) -> bool {
        self.broken || self.store.data().handles() > MAX_HANDLES
    }

    /// Bytes of linear memory that it has.
    pub fn memory(&self) -> usize {
        self.store.data().memory.used()
    }

    fn outcome(
        &mut self,
        answer: wasmtime::Result<Result<bindings::GuestDecision, String>>,
        edits: Vec<Edit>,
    ) -> Result<Outcome, Fault> {
        let answer = answer.map_err(|error| {
            self.broken = true;
            fault::from_call(&error, explain(&mut self.store))
        })?;
        let decision = answer.map_err(|message| Fault::Error(fault::text(&message)))?;
        let backends = &*self.store.data().backends;
        let decision = convert::decision(decision, backends, self.max_response)?;
        let edits = match decision {
            Decision::Respond(_) => Vec::new(),
            Decision::Backend(_) | Decision::Default => edits,
        };
        Ok(Outcome { decision, edits })
    }
}

fn explain(store: &mut Store<State>) -> Explain {
    let host_memory = store.hostcall_fuel();
    let memory = &mut store.data_mut().memory;
    Explain {
        memory: memory.limit(),
        memory_refused: memory.take_refused(),
        host_memory,
    }
}
