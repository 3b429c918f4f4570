//! From a plugin's file to machine code, in the process and on the threads that call it.

use wasmtime::{InstanceAllocationStrategy, OutOfMemory};

use super::encode;
use super::error::CompileError;
use super::tunables::{EngineLimits, config};

/// The code of a plugin's file for the engines of this program on this machine.
pub(super) fn compile(file: &[u8]) -> Result<Vec<u8>, CompileError> {
    let component =
        encode::component(file).map_err(|error| CompileError::Refused(error.to_string()))?;
    let compiled = || {
        // An engine of its own: it keeps what it worked with, some 30 MB for each of its threads
        // after Python, for as long as it lives.
        let mut config = config(EngineLimits { instances: 1 });
        // Runs nothing, and reserves nothing: that would count as memory. The code is the same.
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        let engine = wasmtime::Engine::new(&config)?;
        engine.precompile_component(&component)
    };
    compiled().map_err(|error: wasmtime::Error| {
        if error.is::<OutOfMemory>() {
            // The caller knows the limit.
            CompileError::Memory(0)
        } else {
            CompileError::Refused(format!("the component does not compile: {error:#}"))
        }
    })
}
