//! State shared by all plugins of the process: compiler, allocator, imports, clock.
//!
//! Does not depend on any single plugin. Created once by the server; used by `load` and by the
//! instances.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::bindings::pointsman::router::{backends, log, request};
use super::contract;
use super::host::{self, State};
use super::ticker::{Running, Ticker};
use super::wasi;
use crate::plugin::compile::compiler::Compiler;
use crate::plugin::compile::tunables::{EngineLimits, config};

/// Reasons why the engine could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is not enough address space, or the compiler does not support the processor.
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

/// A WebAssembly engine. A clone refers to the same engine.
///
/// Normally a process has one engine. If that engine has no room for more plugins, the process
/// temporarily has a second one. An engine reserves its address space until its last user is gone.
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
    /// Creates an engine: reserves address space and starts the thread that counts deadlines. The
    /// thread sleeps while no guest runs.
    ///
    /// # Errors
    /// [`EngineError`], which says what the system refused.
    pub fn try_new(limits: EngineLimits, compiler: Compiler) -> Result<Engine, EngineError> {
        let engine = wasmtime::Engine::new(&config(limits))?;
        let mut linker = Linker::new(&engine);
        request::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        backends::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        host::add_questions_to_linker(&mut linker, &contract::interface("questions"))?;
        wasi::add_to_linker(&mut linker)?;
        let ticker = Ticker::try_new(engine.weak()).map_err(EngineError::Thread)?;
        Ok(Engine(Arc::new(Shared {
            engine,
            linker,
            ticker,
            compiler,
        })))
    }

    /// Returns whether `self` and `other` are the same engine.
    pub(super) fn is(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(super) fn compiler(&self) -> Compiler {
        self.0.compiler
    }

    pub(super) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    /// Keeps the deadline clock running. Hold the returned guard while guest code runs; without a
    /// guard, no deadline expires.
    pub(super) fn running(&self) -> Running<'_> {
        self.0.ticker.running()
    }
}
