//! How wasmtime is set up: the same for what compiles and for what runs the code.
//!
//! Owns what the process reserves for plugins. What one plugin may use is in `run::limits`.

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Default of [`EngineLimits::instances`]: 64 workers, eight routers, old and new version.
const DEFAULT_INSTANCES: u32 = 1024;

/// Most memories, tables and core modules of one component. Python's have some 30 modules, and those
/// from JavaScript two memories.
const MAX_MEMORIES: u32 = 8;
const MAX_TABLES: u32 = 64;
const MAX_CORE_INSTANCES: u32 = 256;

/// Most memories of all instances that are reserved beyond one for each: 32 TiB of address space, a
/// quarter of what a process has on common machines. While a reload adds routers beyond the room that
/// there is, a second engine exists, which all plugins then move to.
const MAX_SPARE_MEMORIES: u32 = 1 << 13;
/// Tables that are reserved for each instance.
const TABLES: u32 = 16;

/// Most elements that one table may have.
///
/// Python and JavaScript engines need some 20,000 for their function pointers.
pub(in crate::plugin) const MAX_TABLE_ELEMENTS: usize = 200_000;

/// Size of the host's own bookkeeping for one instance; a module of 20,000 functions
/// needs some 1 MiB.
pub(in crate::plugin) const MAX_INSTANCE_SIZE: usize = 8 << 20;

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
    /// Default 1024. Each reserves 4 GiB of address space for each memory that it may have, and
    /// no memory until used.
    pub instances: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            instances: DEFAULT_INSTANCES,
        }
    }
}

/// wasmtime's configuration. Code fits the engines of one program on one machine, whatever the
/// limits.
pub(in crate::plugin) fn config(limits: EngineLimits) -> Config {
    let instances = limits.instances.max(1);
    let all = |most: u32| instances.saturating_mul(most);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        // So that the instances run out before what they consist of.
        .total_core_instances(all(MAX_CORE_INSTANCES))
        .total_memories(all(MAX_MEMORIES).min(MAX_SPARE_MEMORIES.max(instances)))
        .total_tables(all(TABLES).max(MAX_TABLES))
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
