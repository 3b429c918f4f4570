//! The plugin host: the only door to wasmtime.
//!
//! Two rooms: one compiles components, the other runs them. No type of wasmtime leaves this
//! module, no body and no socket enters it, and nothing that a guest does ends the process.
//! Used by `router`.

mod compile;
mod run;

pub use self::compile::{
    CacheError, CompileError, CompileLimits, CompiledCache, Compiler, EngineLimits, Priority, work,
};
pub use self::run::{
    BackendName, BackendState, Backends, Cacheability, Decision, Edits, Engine, EngineError, Fault,
    FieldLine, Instance, LineBudget, LoadError, MAX_READS, Origin, Plugin, Read, Reads, Request,
    Response, Route, Settings, SnapshotError, Source, grouped,
};
