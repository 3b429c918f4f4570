//! The plugin host: the only module that uses wasmtime.
//!
//! `compile` compiles components and `run` runs them. The module exposes no wasmtime type and
//! handles neither bodies nor sockets. Nothing that a guest does can end the process. Used by
//! `router`.

mod compile;
mod run;

pub use self::compile::{
    CacheError, CompileError, CompileLimits, CompiledCache, Compiler, EngineLimits, Priority, work,
};
pub use self::run::{
    Answers, BackendName, BackendState, Backends, BodyPrefix, Cacheability, Decision, Edits,
    Engine, EngineError, Environment, Fault, FieldLine, Instance, LineBudget, LoadError, MAX_READS,
    Options, Origin, Otherwise, Plugin, Read, Reads, Request, Resolver, Response, Route,
    ServerChoice, ServerName, ServerState, Settings, SnapshotError, Source, Tag, Target, Value,
};
