//! Configuration of wasmtime, the same for compiling and for running code.
//!
//! Sets how many instances, and how much address space, the process reserves for all plugins. The
//! limits of one plugin are in `run::limits`.

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Default of [`EngineLimits::instances`]: enough for 64 workers, eight routers, and two versions
/// (old and new) of each router.
const DEFAULT_INSTANCES: u32 = 1024;

/// Maximum number of memories, tables and core modules of one component. Components built from
/// Python have some 30 modules, and those built from JavaScript have two memories.
const MAX_MEMORIES: u32 = 8;
const MAX_TABLES: u32 = 64;
const MAX_CORE_INSTANCES: u32 = 256;

/// Maximum number of memories reserved for all instances together, or one for each instance if that
/// is more. These are 32 TiB of address space, a quarter of a process's address space on common
/// machines. If a reload needs more instances than the pool has room for, a second engine is
/// created, and all plugins then move to it.
const MAX_SPARE_MEMORIES: u32 = 1 << 13;
/// Number of tables reserved for each instance.
const TABLES: u32 = 16;

/// Maximum number of elements of one table.
///
/// Python and JavaScript engines need some 20,000 for their function pointers.
pub(in crate::plugin) const MAX_TABLE_ELEMENTS: usize = 200_000;

/// Maximum size of the host's bookkeeping for one instance. A module of 20,000 functions needs some
/// 1 MiB.
pub(in crate::plugin) const MAX_INSTANCE_SIZE: usize = 8 << 20;

/// Maximum size of a linear memory: the most that 32-bit WebAssembly can address. Only address
/// space is reserved; a separate limit applies to the memory that an instance uses.
const MAX_MEMORY: usize = 4 << 30;

/// Bytes of a freed memory slot that are zeroed instead of returned to the kernel. This is cheaper
/// for small guests, of which `isolation = "request"` creates many.
const KEEP_RESIDENT: usize = 64 << 10;

/// Number of free slots that keep the image of their last instance, ready for the next instance of
/// the same component. A higher number would retain memory of versions that no longer exist.
const MAX_WARM_SLOTS: u32 = 4;

/// Maximum stack size of guest code, in bytes. A worker thread's stack must be larger.
const MAX_STACK: usize = 512 << 10;

/// Resources that the process reserves for plugins.
#[derive(Debug, Clone, Copy)]
pub struct EngineLimits {
    /// Maximum number of instances at one time, over all workers, routers and versions.
    ///
    /// Default 1024. Each instance reserves 4 GiB of address space for each memory that it can
    /// have, but uses no memory until it runs.
    pub instances: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            instances: DEFAULT_INSTANCES,
        }
    }
}

/// Returns wasmtime's configuration. Code compiled with it runs on every engine of the same program
/// on the same machine, whatever the limits.
pub(in crate::plugin) fn config(limits: EngineLimits) -> Config {
    let instances = limits.instances.max(1);
    let all = |most: u32| instances.saturating_mul(most);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        // The pool must run out of component instances before it runs out of core instances.
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
        // The log needs function names only; reading a guest's DWARF is not worth its cost.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
