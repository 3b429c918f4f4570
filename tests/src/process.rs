//! Child processes: their output is captured, and on drop they are killed together with their own
//! children.
//!
//! One thread per stream reads the output, so that no pipe fills up. `Proxy` uses this module, and
//! so do tests that run another server.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::DEADLINE;

/// A running child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
    /// Number of lines so far. The channel closes when the process has closed both streams.
    progress: watch::Receiver<usize>,
    deadline: Duration,
    /// Whether the process has been waited for. Its ID may then belong to another process.
    is_gone: bool,
}

/// Lines of stdout and stderr, in the order in which they arrived.
#[derive(Debug, Default)]
struct Output(Mutex<Vec<String>>);

impl Output {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts `command`, and captures its output.
    ///
    /// Its standard input is what the command specifies; by default, it is inherited.
    ///
    /// # Errors
    /// Fails if the program does not exist or cannot be run.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The process has its own group, so that its children can be killed with it.
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("starting {name} (`cargo xtask test` installs what the tests need)")
            })?;
        let output = Arc::new(Output::default());
        let (sender, progress) = watch::channel(0);
        let sender = Arc::new(sender);
        if let Some(stdout) = child.stdout.take() {
            gather(stdout, Arc::clone(&output), Arc::clone(&sender));
        }
        if let Some(stderr) = child.stderr.take() {
            gather(stderr, Arc::clone(&output), sender);
        }
        Ok(Self {
            name,
            child,
            output,
            progress,
            deadline: DEADLINE,
            is_gone: false,
        })
    }

    /// Sets the maximum wait for later calls, in place of [`DEADLINE`].
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Returns the process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns everything that the process has written, one line per entry.
    pub fn log(&self) -> Vec<String> {
        self.output.lines().clone()
    }

    /// Waits until `pick` finds a match in the lines written so far.
    ///
    /// # Errors
    /// Fails if the process ends first or the deadline passes. The error contains the log.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        mut pick: impl FnMut(&[String]) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut progress = self.progress.clone();
        let found = tokio::time::timeout(self.deadline, async {
            loop {
                progress.mark_unchanged();
                if let Some(found) = pick(&self.output.lines()) {
                    return Some(found);
                }
                if progress.changed().await.is_err() {
                    // Both streams are closed, so the lines are complete and are checked once more.
                    return pick(&self.output.lines());
                }
            }
        })
        .await;
        let reason = match found {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "ended".to_owned(),
            Err(_) => format!("did not say within {:?}", self.deadline),
        };
        bail!(
            "{} {reason}: waited for {what}; its log:\n{}",
            self.name,
            self.output.lines().join("\n")
        )
    }

    /// Waits for the first line that contains `text`, and returns it.
    ///
    /// # Errors
    /// As [`Process::wait_for`].
    pub async fn line_with(&self, text: &str) -> anyhow::Result<String> {
        self.wait_for(&format!("a line with {text:?}"), |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
        .await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Fails if the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("sending {signal} to {}", self.name))
    }

    /// Waits for the process to end on its own.
    ///
    /// # Errors
    /// Fails if the process is still running after the deadline.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let mut progress = self.progress.clone();
        let closed = async { while progress.changed().await.is_ok() {} };
        if tokio::time::timeout(self.deadline, closed).await.is_err() {
            bail!(
                "{} still runs after {:?}; its log:\n{}",
                self.name,
                self.deadline,
                self.output.lines().join("\n")
            );
        }
        // The streams are closed, so the wait for the exit status is short.
        self.is_gone = true;
        self.child.wait().context("waiting for the process")
    }

    /// Waits for the process to end on its own, even if processes that it has started continue to
    /// run. Returns its exit code.
    ///
    /// # Errors
    /// Fails if the process is still running after the deadline.
    pub async fn exited(&self) -> anyhow::Result<Option<i32>> {
        let id = self.pid()?;
        let waiting = tokio::task::spawn_blocking(move || {
            // The process can still be waited for, so that its ID is not reused.
            waitid(Id::Pid(id), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        });
        let status = tokio::time::timeout(self.deadline, waiting).await;
        let Ok(status) = status else {
            bail!("{} still runs after {:?}", self.name, self.deadline);
        };
        match status?? {
            WaitStatus::Exited(_, code) => Ok(Some(code)),
            _ => Ok(None),
        }
    }

    /// Returns whether the process is still running.
    ///
    /// # Errors
    /// Fails if the process is not a child of this process.
    pub fn runs(&self) -> anyhow::Result<bool> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        Ok(waitid(Id::Pid(self.pid()?), flags)? == WaitStatus::StillAlive)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        let id = i32::try_from(self.child.id()).context("process number")?;
        Ok(Pid::from_raw(id))
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the runner captures it, and shows it when the test fails"
    )]
    fn drop(&mut self) {
        if let (false, Ok(id)) = (self.is_gone, self.pid()) {
            let _ = killpg(id, Signal::SIGKILL);
            let _ = self.child.wait();
        }
        let lines = self.output.lines();
        if !lines.is_empty() {
            eprintln!("--- {} wrote:\n{}\n---", self.name, lines.join("\n"));
        }
    }
}

/// Reads a stream to its end on a dedicated thread.
fn gather(
    stream: impl Read + Send + 'static,
    output: Arc<Output>,
    progress: Arc<watch::Sender<usize>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            output.lines().push(line);
            progress.send_modify(|count| *count += 1);
        }
    });
}
