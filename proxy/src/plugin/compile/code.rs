//! Compiles a plugin's file to machine code in the calling process, on the calling threads.

use wasmtime::{InstanceAllocationStrategy, OutOfMemory};

use super::encode;
use super::error::CompileError;
use super::tunables::{EngineLimits, config};

/// Compiles a plugin's file for the engines of this program on this machine.
pub(super) fn compile(file: &[u8]) -> Result<Vec<u8>, CompileError> {
    let component =
        encode::component(file).map_err(|error| CompileError::Refused(error.to_string()))?;
    let compiled = || {
        // Use a separate engine. An engine keeps its working memory until it is dropped: some 30 MB
        // per thread after compiling a Python plugin.
        let mut config = config(EngineLimits { instances: 1 });
        // This engine only compiles. The pooling allocator would reserve address space that counts
        // against the memory limit, and the compiled code is the same without it.
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        let engine = wasmtime::Engine::new(&config)?;
        engine.precompile_component(&component)
    };
    compiled().map_err(|error: wasmtime::Error| {
        if error.is::<OutOfMemory>() {
            // The caller fills in the limit.
            CompileError::Memory(0)
        } else {
            CompileError::Refused(format!("the component does not compile: {error:#}"))
        }
    })
}
