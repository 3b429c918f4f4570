//! Shared by all plugins of the process: compiler, allocator, imports, clock.
//!
//! Knows nothing of any one plugin. Made once by the server, used by `load` and by the
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

/// A WebAssembly engine. A clone is the same engine.
///
/// A process has one, and for a moment another where there is no room for more plugins: each reserves
/// its address space for as long as anything of it is left.
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

    /// Whether both are the same.
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

    /// To be held while guest code runs: without it no deadline ends.
    pub(super) fn running(&self) -> Running<'_> {
        self.0.ticker.running()
    }
}
