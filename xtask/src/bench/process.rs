//! Child processes that never outlive the measurement.
//!
//! Owns how a server is started, what it writes, and its end: each is in a process group of
//! its own, is asked to end when dropped, then killed with its group; and the kernel ends it
//! should this program be killed. Must not know what it runs. Called by `peers` and `origin`.

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

/// How long a process may take to end once it was asked to.
const MERCY: Duration = Duration::from_secs(2);

/// What ends a process whose parent was killed: a program of util-linux, so that no code has
/// to run between fork and exec here.
const GUARD: &[&str] = &["setpriv", "--pdeathsig", "TERM", "--"];

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Whether the kernel is told to end the process with this one; costs one more exec.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    On,
    Off,
}

impl Process {
    /// Starts `command`, with what it writes going to the file `log`.
    ///
    /// # Errors
    /// The program is not there or cannot be run.
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

    /// The process's number.
    pub(crate) fn id(&self) -> Pid {
        // Linux's process numbers are below 2^22.
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Everything that it has written.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("no log: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        )
    }

    /// That it still runs.
    ///
    /// # Errors
    /// It has ended: the error tells how, and what it wrote.
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
        // nginx's workers end with their master only if it is asked.
        let _ = kill(id, Signal::SIGTERM);
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while waited < MERCY && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(step);
            waited += step;
        }
        // Gone already is as good; this is for what is left of the group.
        let _ = killpg(id, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}
