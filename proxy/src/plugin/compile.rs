//! From a plugin's file to machine code.
//!
//! Owns the compiler's process, the engine's configuration and the directory of compiled code.
//! Runs no guest code, and knows nothing of the contract. Used by `run`.

pub(super) mod cache;
pub(super) mod compiler;
pub(super) mod encode;
pub(super) mod tunables;

pub use self::cache::{CacheError, CompiledCache};
pub use self::compiler::Compiler;
pub use self::encode::EncodeError;
pub use self::tunables::EngineLimits;
