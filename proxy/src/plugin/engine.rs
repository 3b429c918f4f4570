//! What all plugins of the process share: compiler, allocator, imports, clock.
//!
//! Knows nothing of any one plugin. Made once by the server, used by `load` and by the
//! instances.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::bindings::pointsman::router::{backends, log, request};
use super::compiler::Compiler;
use super::host::State;
use super::limits::MAX_TABLE_ELEMENTS;
use super::ticker::{Running, Ticker};
use super::wasi;

/// Default of [`EngineLimits::instances`]: 64 workers, eight routers, old and new version.
const DEFAULT_INSTANCES: u32 = 1024;

/// Most memories, tables and core modules of one component. Python's have some 30 modules.
const MAX_MEMORIES: u32 = 16;
const MAX_TABLES: u32 = 64;
const MAX_CORE_INSTANCES: u32 = 256;

/// Size of the host's own bookkeeping for one instance; a module of 20,000 functions
/// needs some 1 MiB.
const MAX_INSTANCE_SIZE: usize = 8 << 20;

/// Largest linear memory: all that 32-bit WebAssembly can have. Address space only; what
/// an instance may really use is its own limit.
const MAX_MEMORY: usize = 4 << 30;

/// Bytes of a freed memory slot that are cleared by hand rather than given back to the
/// kernel: cheaper for the small guests that `isolation = "request"` makes in numbers.
const KEEP_RESIDENT: usize = 64 << 10;

/// Slots that stay as the last instance in them left them, ready for the next one of the same
/// component. More would keep the memory of versions that are gone.
const MAX_WARM_SLOTS: u32 = 4;

/// Stack of guest code, in bytes. A worker's thread must have more.
const MAX_STACK: usize = 512 << 10;

/// How much the process reserves for plugins.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Most instances that exist at one time, over all workers, routers and versions.
    ///
    /// Default 1024. Each reserves 4 GiB of address space, and no memory until used.
    pub instances: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            instances: DEFAULT_INSTANCES,
        }
    }
}

/// The engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not enough address space, or a processor that the compiler does not know.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Setup(String),
    /// The thread that counts deadlines could not be started.
    #[error("cannot start the thread for plugin deadlines")]
    Thread(#[source] std::io::Error),
}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> Self {
        EngineError::Setup(format!("{error:#}"))
    }
}

/// The process's WebAssembly engine. A clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    ticker: Ticker,
    compiler: Compiler,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Reserves address space, and starts the one thread that counts deadlines, which
    /// sleeps while no guest runs.
    ///
    /// # Errors
    /// [`EngineError`], which says what the system refused.
    pub fn try_new(limits: EngineLimits, compiler: Compiler) -> Result<Engine, EngineError> {
        let engine = wasmtime::Engine::new(&config(limits))?;
        let mut linker = Linker::new(&engine);
        request::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        backends::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        wasi::add_to_linker(&mut linker)?;
        let ticker = Ticker::try_new(engine.weak()).map_err(EngineError::Thread)?;
        Ok(Engine(Arc::new(Shared {
            engine,
            linker,
            ticker,
            compiler,
        })))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    /// Compiles a component, which takes up to seconds; the code is for [`Engine`]s of this
    /// process and program.
    ///
    /// # Errors
    /// The component's mistakes.
    pub(super) fn compile(component: &[u8]) -> wasmtime::Result<Vec<u8>> {
        // Of its own: a compiler keeps what it worked with, some 30 MB for each of its threads
        // after Python, for as long as its engine lives.
        let compiler = wasmtime::Engine::new(&config(EngineLimits { instances: 1 }))?;
        compiler.precompile_component(component)
    }

    pub(super) fn compiler(&self) -> Compiler {
        self.0.compiler
    }

    pub(super) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    /// To be held while guest code runs: without it no deadline ends.
    pub(super) fn running(&self) -> Running<'_> {
        self.0.ticker.running()
    }
}

fn config(limits: EngineLimits) -> Config {
    let instances = limits.instances.max(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(8).max(MAX_CORE_INSTANCES))
        .total_memories(instances.max(MAX_MEMORIES))
        .total_tables(instances.saturating_mul(4).max(MAX_TABLES))
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_core_instance_size(MAX_INSTANCE_SIZE)
        .max_component_instance_size(MAX_INSTANCE_SIZE)
        .max_memory_size(MAX_MEMORY)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_unused_warm_slots(MAX_WARM_SLOTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .max_wasm_stack(MAX_STACK)
        .memory_init_cow(true)
        // Function names are enough for the log; reading a guest's DWARF is not.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
