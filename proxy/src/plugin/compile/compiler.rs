//! The compiler's interface: a file goes in, machine code comes out.
//!
//! Called by `run::load`; does not depend on the contract.

use super::code;
use super::error::CompileError;
use super::limits::CompileLimits;
use super::process;

/// Process in which files are compiled.
#[derive(Debug, Clone, Copy)]
pub enum Compiler {
    /// This process, without limits: for tests, whose files are trusted.
    InProcess,
    /// A separate process within these limits. It runs this program with the given subcommand,
    /// which calls [`work`](super::work::work).
    Subprocess(&'static str, CompileLimits),
}

impl Compiler {
    /// Returns the same compiler with other limits.
    #[must_use]
    pub fn within(self, limits: CompileLimits) -> Compiler {
        match self {
            Compiler::InProcess => Compiler::InProcess,
            Compiler::Subprocess(command, _) => Compiler::Subprocess(command, limits),
        }
    }

    /// Compiles a file for the engines of this program on this machine. Blocks.
    pub(in crate::plugin) fn compile(self, file: &[u8]) -> Result<Vec<u8>, CompileError> {
        match self {
            Compiler::InProcess => code::compile(file),
            Compiler::Subprocess(command, limits) => process::compile(command, limits, file),
        }
    }
}
