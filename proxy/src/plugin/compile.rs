//! Compiles a plugin's file to machine code.
//!
//! Owns the compiler process and its sandbox, the engine's configuration, and the directory of
//! compiled code. Runs no guest code and does not depend on the contract. Used by `run`.

pub(super) mod cache;
mod code;
pub(super) mod compiler;
pub(super) mod encode;
pub(super) mod error;
mod limits;
mod process;
mod sandbox;
mod system_calls;
pub(super) mod tunables;
mod work;

pub use self::cache::{CacheError, CompiledCache};
pub use self::compiler::Compiler;
pub use self::error::CompileError;
pub use self::limits::{CompileLimits, Priority};
pub use self::tunables::EngineLimits;
pub use self::work::work;
