//! Child processes that never outlive the measurement.
//!
//! Owns the start of a server, its output and its end. Each server is in its own process group. On
//! drop, the server receives SIGTERM, and is then killed with its group. The kernel ends the server
//! if this program is killed. Must not depend on the program that it runs. Called by `peers` and
//! `origin`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Maximum time for a process to end after SIGTERM.
const TERM_GRACE: Duration = Duration::from_secs(2);

/// A util-linux program that ends a process when its parent is killed. It makes code between fork
/// and exec unnecessary here.
const GUARD: &[&str] = &["setpriv", "--pdeathsig", "TERM", "--"];

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Whether the kernel ends the process together with this one, which costs one more exec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    On,
    Off,
}

impl Process {
    /// Starts `command`, with its output in the file `log`.
    ///
    /// # Errors
    /// The program does not exist or cannot be run.
    pub(crate) fn start(
        name: &str,
        command: &Command,
        log: &Path,
        guard: Guard,
    ) -> anyhow::Result<Self> {
        let mut words = match guard {
            Guard::On => GUARD.iter().map(OsStr::new).collect(),
            Guard::Off => Vec::new(),
        };
        words.push(command.get_program());
        words.extend(command.get_args());
        let output =
            File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = Command::new(words[0])
            .args(&words[1..])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Returns the process ID.
    pub(crate) fn id(&self) -> Pid {
        // Linux's process IDs are below 2^22.
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Returns everything that the process has written.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("no log: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        )
    }

    /// Checks that the process is still running.
    ///
    /// # Errors
    /// It has ended: the error contains the exit status and its output.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status}); it wrote:\n{}", self.name, self.log());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let id = self.id();
        // nginx's workers end with their master only if the master receives SIGTERM.
        let _ = kill(id, Signal::SIGTERM);
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while waited < TERM_GRACE && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(step);
            waited += step;
        }
        // Kills the rest of the group; it is not an error if there is none.
        let _ = killpg(id, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
