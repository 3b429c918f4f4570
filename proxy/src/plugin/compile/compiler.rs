//! From a component to machine code, which takes up to seconds and hundreds of megabytes.
//!
//! In a process of its own, where the program offers one: an allocator keeps some of what a compiler
//! worked with, and a component that makes it run out of memory, or finds a mistake in it, ends that
//! process and no other. Called by `run::load`; knows nothing of the contract.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::tunables::{EngineLimits, config};
use crate::spawn::alone;

/// This very program, even where another has taken its place in the file system.
const SELF: &str = "/proc/self/exe";

/// Where memory runs out, the compiler is to be killed, not the proxy: see proc(5).
const OOM_SCORE: (&str, &str) = ("/proc/self/oom_score_adj", "1000");

/// How [`Compiler::work`] ends where the component is at fault, and where something else is.
const REFUSED: u8 = 1;
const FAILED: u8 = 2;

/// Where components are compiled.
#[derive(Debug, Clone, Copy, Default)]
pub enum Compiler {
    /// In this process, which keeps some of the memory.
    #[default]
    Here,
    /// In a process of its own: this program with this argument alone, which calls [`Compiler::work`].
    Apart(&'static str),
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub(in crate::plugin) enum CompileError {
    /// The component is at fault.
    #[error("{0}")]
    Refused(String),
    /// The process ended before it was done.
    #[error("the compiler ended with {0}")]
    Ended(String),
    /// Standard input or output of [`Compiler::work`].
    #[error("cannot read a component, or write its code: {0}")]
    Io(#[from] io::Error),
}

impl Compiler {
    /// Compiles a component for the engines of this program on this machine. Blocks.
    pub(in crate::plugin) fn compile(self, component: &[u8]) -> Result<Vec<u8>, CompileError> {
        if let Compiler::Apart(argument) = self {
            match apart(argument, component) {
                Ok(output) => return verdict(output),
                Err(error) => {
                    tracing::warn!(%error, "no process to compile in, compiling in this one");
                }
            }
        }
        here(component)
    }

    /// Compiles the component on standard input; its code goes to standard output, what is wrong with it
    /// to standard error. Yields the exit code: 0; 1 where the component is at fault, 2 where
    /// something else is.
    pub fn work() -> u8 {
        // Otherwise it has the name of the link that it was started by.
        let _ = rustix::thread::set_name(c"pointsman");
        // Nobody would want the code. Where the parent is gone already, there is no component to read.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        // Where that is not allowed the kernel chooses by size, which comes to the same.
        let _ = std::fs::write(OOM_SCORE.0, OOM_SCORE.1);
        let compiled = || -> Result<(), CompileError> {
            let mut component = Vec::new();
            io::stdin().read_to_end(&mut component)?;
            io::stdout().write_all(&here(&component)?)?;
            Ok(())
        };
        match compiled() {
            Ok(()) => 0,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{error}");
                if matches!(error, CompileError::Refused(_)) {
                    REFUSED
                } else {
                    FAILED
                }
            }
        }
    }
}

fn here(component: &[u8]) -> Result<Vec<u8>, CompileError> {
    let compiled = || {
        // An engine of its own: it keeps what it worked with, some 30 MB for each of its threads
        // after Python, for as long as it lives.
        let engine = wasmtime::Engine::new(&config(EngineLimits { instances: 1 }))?;
        engine.precompile_component(component)
    };
    compiled().map_err(|error: wasmtime::Error| CompileError::Refused(format!("{error:#}")))
}

/// Has another process compile. Fails where there can be none.
fn apart(argument: &str, component: &[u8]) -> io::Result<Output> {
    let mut command = Command::new(SELF);
    command
        .arg0("pointsman")
        .arg(argument)
        // What a terminal sends to all that run in front is the proxy's to answer.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = alone(|| command.spawn())?;
    tracing::debug!(process = child.id(), bytes = component.len(), "compiling");
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        // Where it does not read to the end, how it ends says why.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(component)));
        child.wait_with_output()
    })
}

fn verdict(output: Output) -> Result<Vec<u8>, CompileError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim_end();
    Err(if output.status.code() == Some(REFUSED.into()) {
        CompileError::Refused(said.to_owned())
    } else if said.is_empty() {
        CompileError::Ended(output.status.to_string())
    } else {
        CompileError::Ended(format!("{}: {said}", output.status))
    })
}
