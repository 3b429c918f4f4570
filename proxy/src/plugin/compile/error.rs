//! Compile errors, and how the compiler process reports them to its parent.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::libc;

use super::limits::CompileLimits;

/// Exit codes of the compiler process.
const REFUSED: u8 = 1;
const FAILED: u8 = 2;
const OUT_OF_MEMORY: u8 = 3;

/// Exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Start of the message that a Rust program writes to standard error when an allocation fails,
/// before it aborts.
const ALLOCATION_FAILED: &str = "memory allocation of ";

/// Signals that indicate a crash of the program itself.
const CRASHES: [i32; 6] = [
    libc::SIGABRT,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGSYS,
];

/// Reasons why a plugin's file was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The file is neither a valid component nor a module that can be encoded as one.
    #[error("{0}")]
    Refused(String),
    /// Compiling takes more memory than the limit, in MiB.
    #[error(
        "compiling the file takes more than {0} MiB of memory: if you trust the plugin, raise `compile.memory`"
    )]
    Memory(u64),
    /// Compiling takes more processor time than the limit, in seconds.
    #[error(
        "compiling the file takes more than {0} s of processor time: if you trust the plugin, raise `compile.time`"
    )]
    Time(u64),
    /// The file triggers a bug in the compiler.
    #[error("the compiler crashes on the file: {0}")]
    Crashed(String),
    /// The compiler failed for a reason unrelated to the file.
    #[error("the file could not be compiled this time: {0}")]
    Failed(String),
}

impl CompileError {
    /// Returns whether the same file may compile if it is tried again later.
    pub fn is_transient(&self) -> bool {
        matches!(self, CompileError::Failed(_))
    }

    /// Returns the exit code with which the compiler process reports this error.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CompileError::Refused(_) => REFUSED,
            CompileError::Memory(_) => OUT_OF_MEMORY,
            CompileError::Time(_) | CompileError::Crashed(_) | CompileError::Failed(_) => FAILED,
        }
    }

    /// Returns the error of a process that did not succeed.
    pub(super) fn of(status: ExitStatus, said: &str, limits: CompileLimits) -> CompileError {
        let said = said.trim_end();
        let full = || match said {
            "" => status.to_string(),
            said => format!("{status}: {said}"),
        };
        let is = |code: u8| status.code() == Some(code.into());
        let signal = status.signal();
        if is(REFUSED) {
            CompileError::Refused(said.to_owned())
        } else if is(OUT_OF_MEMORY)
            || signal == Some(libc::SIGABRT) && said.contains(ALLOCATION_FAILED)
        {
            CompileError::Memory(limits.memory >> 20)
        } else if signal == Some(libc::SIGXCPU) {
            CompileError::Time(limits.seconds())
        } else if status.code() == Some(PANICKED)
            || signal.is_some_and(|signal| CRASHES.contains(&signal))
        {
            CompileError::Crashed(full())
        } else {
            CompileError::Failed(full())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn how_a_compiler_ends_says_whose_fault_it_is() {
        let limits = CompileLimits {
            memory: 64 << 20,
            time: Duration::from_millis(1500),
        };
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        let check = |status, said: &str, expected: CompileError| {
            let found = CompileError::of(status, said, limits);
            assert!(!found.is_transient(), "{found}");
            assert_eq!(found, expected);
        };
        check(exit(1), "no\n", CompileError::Refused("no".to_owned()));
        check(exit(3), "", CompileError::Memory(64));
        let said = "memory allocation of 1024 bytes failed\n";
        let aborted = ExitStatus::from_raw(libc::SIGABRT);
        check(aborted, said, CompileError::Memory(64));
        let late = ExitStatus::from_raw(libc::SIGXCPU);
        check(late, "", CompileError::Time(2));
        for (status, said) in [
            (aborted, "double free"),
            (exit(101), "thread 'main' panicked"),
            (ExitStatus::from_raw(libc::SIGSEGV), ""),
        ] {
            let error = CompileError::of(status, said, limits);
            assert!(matches!(error, CompileError::Crashed(_)), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        for (status, said) in [
            (ExitStatus::from_raw(libc::SIGKILL), ""),
            (ExitStatus::from_raw(libc::SIGTERM), ""),
            (exit(2), "cannot change to another user"),
        ] {
            let error = CompileError::of(status, said, limits);
            assert!(error.is_transient(), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
