//! The compiler process: reads a plugin's file from standard input and writes its code to standard
//! output.
//!
//! Drops the rights that it does not need before it reads the first byte. Called by `cli`.

use std::io::{self, Read as _, Write as _};

use super::code;
use super::error::CompileError;
use super::limits::{CompileLimits, Priority};
use super::sandbox;

/// Compiles the file on standard input, writes its code to standard output and errors to standard
/// error. Returns the exit code.
pub fn work(limits: CompileLimits, priority: Priority) -> u8 {
    let compiled = || -> Result<(), CompileError> {
        let failed = |error: io::Error| CompileError::Failed(error.to_string());
        let entered = sandbox::enter(limits, priority);
        let missing = entered.map_err(|error| CompileError::Failed(error.to_string()))?;
        if let Some(missing) = missing {
            let _ = writeln!(io::stderr(), "{missing}");
        }
        let mut file = Vec::new();
        io::stdin().read_to_end(&mut file).map_err(failed)?;
        let code = code::compile(&file)?;
        let mut stdout = io::stdout();
        stdout
            .write_all(&code)
            .and_then(|()| stdout.flush())
            .map_err(failed)
    };
    let Err(error) = compiled() else {
        return 0;
    };
    let text = match &error {
        CompileError::Failed(text) => text.clone(),
        CompileError::Memory(_) => CompileError::Memory(limits.memory >> 20).to_string(),
        error => error.to_string(),
    };
    let _ = writeln!(io::stderr(), "{text}");
    error.exit_code()
}
