//! Sockets that are inherited from a predecessor or a service manager and passed on to a successor,
//! so that no connection is refused in between.
//!
//! A service manager passes descriptors by the protocol of `sd_listen_fds(3)`: `LISTEN_PID` and
//! `LISTEN_FDS`. A predecessor lists them in [`VARIABLE`], as JSON, and waits for a byte on a pipe,
//! which the successor sends once it serves. `sockets` decides which frontend gets which socket;
//! `upgrade` decides when.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::fd::AsRawFd as _;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{FdFlags, dup, fcntl_getfd, fcntl_setfd};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::sockets::{Keeper, Open, Purpose};
use crate::downstream::listener::Listener;
use crate::spawn::exclusive;

/// Environment variable that describes a successor's inheritance.
const VARIABLE: &str = "POINTSMAN_INHERIT";

/// The first descriptor that a service manager passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Maximum number of passed sockets: more than any service manager passes.
const MAX_SOCKETS: RawFd = 4096;

/// Maximum size of the session ticket keys in bytes: more than any keys need.
const MAX_SECRET: u64 = 64 << 10;

/// Maximum time until a successor serves. The successor may have to compile its plugins first.
const MAX_START: Duration = Duration::from_mins(10);
/// Maximum time until a successor ends after it has closed the pipe.
const MAX_END: Duration = Duration::from_secs(10);
/// Interval at which to check whether a successor has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Sockets and state that a process inherits.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(super) sockets: Vec<Open>,
    /// The session ticket keys.
    tickets: Option<Vec<u8>>,
    predecessor: Option<PipeWriter>,
}

/// The contents of [`VARIABLE`].
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    /// The write end of the pipe.
    ready: RawFd,
    sockets: Vec<Passed>,
    /// A memory file with the session ticket keys, so that they appear neither in the environment
    /// nor on a disk.
    #[serde(default)]
    tickets: Option<RawFd>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Passed {
    descriptor: RawFd,
    purpose: Option<Purpose>,
    /// Whether a service manager owns the socket.
    is_lent: bool,
}

/// Reason why sockets named in the environment cannot be inherited.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The variable is malformed.
    #[error("the environment variable {variable} is invalid: {reason}")]
    Variable {
        /// The name of the variable.
        variable: &'static str,
        /// The mistake.
        reason: String,
    },
    /// The descriptor is not a listening socket.
    #[error("descriptor {descriptor}, passed by {variable}, cannot be used")]
    Socket {
        /// The number of the descriptor.
        descriptor: RawFd,
        /// The variable that names it.
        variable: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The session ticket keys cannot be read.
    #[error("descriptor {descriptor}, passed for the session ticket keys, cannot be read")]
    Tickets {
        /// Number of the descriptor with the keys.
        descriptor: RawFd,
        /// The system's error.
        source: io::Error,
    },
}

/// Reason why no other process has replaced this one.
#[derive(Debug, Error)]
pub(super) enum UpgradeError {
    /// The program cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program's name, as it was given to this process.
        program: OsString,
        /// The system's error.
        source: io::Error,
    },
    /// The new process ended before it was ready.
    #[error("the new process ended before it was ready ({0}): see its output for the reason")]
    Ended(ExitStatus),
    /// The new process did not report in time that it was ready, and was killed.
    #[error("the new process did not report in time that it was ready, and was killed")]
    Silent,
}

impl Inherited {
    /// Adopts the sockets that the environment names.
    ///
    /// Must be called once, before anything is opened.
    ///
    /// # Errors
    /// [`InheritError`].
    pub fn take() -> Result<Inherited, InheritError> {
        if let Some(text) = std::env::var_os(VARIABLE) {
            return Inherited::from_predecessor(&text.to_string_lossy());
        }
        let number = |name| -> Result<Option<u32>, InheritError> {
            let Some(text) = std::env::var_os(name) else {
                return Ok(None);
            };
            let text = text.to_string_lossy();
            let parsed = text.parse().map(Some);
            parsed.map_err(|_| wrong(name, format!("`{text}` is not a number")))
        };
        // No sockets were passed, or they were passed to another process, such as the parent.
        if number("LISTEN_PID")? != Some(std::process::id()) {
            return Ok(Inherited::default());
        }
        let count = number("LISTEN_FDS")?.unwrap_or(0);
        let last = RawFd::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_SOCKETS)
            .ok_or_else(|| wrong("LISTEN_FDS", format!("{count} sockets are too many")))?
            + FIRST;
        let sockets = (FIRST..last).map(|descriptor| {
            let listener = adopt(descriptor, "LISTEN_FDS")?;
            Ok(Open::inherited(listener, Keeper::Manager, None))
        });
        Ok(Inherited {
            sockets: sockets.collect::<Result<_, _>>()?,
            tickets: None,
            predecessor: None,
        })
    }

    fn from_predecessor(text: &str) -> Result<Inherited, InheritError> {
        let handover: Handover =
            serde_json::from_str(text).map_err(|error| wrong(VARIABLE, error.to_string()))?;
        let ready = own(handover.ready).map_err(|source| InheritError::Socket {
            descriptor: handover.ready,
            variable: VARIABLE,
            source,
        })?;
        let tickets = handover.tickets.map(|descriptor| {
            let read = own(descriptor).and_then(|file| read_secret(&file));
            read.map_err(|source| InheritError::Tickets { descriptor, source })
        });
        let sockets = handover.sockets.into_iter().map(|passed| {
            let keeper = if passed.is_lent {
                Keeper::Manager
            } else {
                Keeper::Predecessor
            };
            let listener = adopt(passed.descriptor, VARIABLE)?;
            Ok(Open::inherited(listener, keeper, passed.purpose))
        });
        Ok(Inherited {
            sockets: sockets.collect::<Result<_, _>>()?,
            tickets: tickets.transpose()?,
            predecessor: Some(PipeWriter::from(ready)),
        })
    }

    /// Returns whether a predecessor waits for this process to be ready.
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Takes the session ticket keys. Returns None if they were taken already, or if there is no
    /// predecessor.
    pub(super) fn take_tickets(&mut self) -> Option<Vec<u8>> {
        self.tickets.take()
    }

    /// Notifies the predecessor, if any, that this process serves.
    pub(super) fn notify(self) {
        if let Some(mut predecessor) = self.predecessor
            && let Err(error) = predecessor.write_all(b"1")
        {
            tracing::warn!(%error, "the previous process did not wait");
        }
    }
}

fn wrong(variable: &'static str, reason: String) -> InheritError {
    InheritError::Variable { variable, reason }
}

fn adopt(descriptor: RawFd, variable: &'static str) -> Result<Listener, InheritError> {
    let adopted = own(descriptor).and_then(Listener::adopt);
    adopted.map_err(|source| InheritError::Socket {
        descriptor,
        variable,
        source,
    })
}

/// Takes ownership of a descriptor that this process inherited.
fn own(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < FIRST {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    #[expect(
        unsafe_code,
        reason = "a descriptor passed across exec is known only by its number"
    )]
    // SAFETY: the environment passes the descriptor to this process, which has opened nothing
    // before. A number that is not open is never used: `fcntl_getfd` fails, and the `OwnedFd` is
    // forgotten.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    match fcntl_getfd(&descriptor) {
        Ok(flags) => {
            // Children of this process must not inherit the descriptor.
            fcntl_setfd(&descriptor, flags | FdFlags::CLOEXEC)?;
            Ok(descriptor)
        }
        Err(error) => {
            std::mem::forget(descriptor);
            Err(error.into())
        }
    }
}

/// Creates a memory file with these bytes, sealed against any change.
fn secret(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(memfd_create("session-tickets", flags)?);
    file.write_all_at(bytes, 0)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    Ok(OwnedFd::from(file))
}

fn read_secret(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let file = File::from(file.try_clone()?);
    let length = file.metadata()?.len();
    if length > MAX_SECRET {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    // Reads at an offset, because another process may share the file position.
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// A process that is about to replace this one. Dropping this kills it.
#[derive(Debug)]
pub(super) struct Successor {
    child: Option<Child>,
    ready: pipe::Receiver,
}

impl Successor {
    /// Starts the program of this process again, with the same arguments. `tickets` are the session
    /// ticket keys.
    ///
    /// # Errors
    /// [`UpgradeError::Start`].
    pub(super) fn start(sockets: &[Open], tickets: &[u8]) -> Result<Successor, UpgradeError> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_default();
        if cfg!(fuzzing) {
            // Under fuzzing, the program is the fuzzer, which must not be started again.
            let source = io::ErrorKind::Unsupported.into();
            return Err(UpgradeError::Start { program, source });
        }
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES");
        exclusive(|| spawn(command, sockets, tickets))
            .map_err(|source| UpgradeError::Start { program, source })
    }

    /// Waits until the successor serves. Returns its process ID.
    ///
    /// # Errors
    /// [`UpgradeError::Ended`], [`UpgradeError::Silent`].
    pub(super) async fn ready(mut self) -> Result<u32, UpgradeError> {
        let answer = tokio::time::timeout(MAX_START, self.ready.read_u8()).await;
        if let Ok(answer) = answer {
            if answer.is_ok()
                && let Some(child) = self.child.take()
            {
                return Ok(child.id());
            }
            // A process that ends closes the pipe a moment before its exit status is available.
            let ended = tokio::time::timeout(MAX_END, self.ended()).await;
            if let Ok(status) = ended {
                return Err(UpgradeError::Ended(status));
            }
        }
        Err(UpgradeError::Silent)
    }

    async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return status;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts `command` with these sockets and keys. Must be called within [`exclusive`]: for a moment,
/// every process that is started inherits these descriptors.
fn spawn(mut command: Command, sockets: &[Open], tickets: &[u8]) -> io::Result<Successor> {
    let (reader, writer) = io::pipe()?;
    // Only these descriptors stay open in the successor: all others are close-on-exec.
    let ready = dup(&writer)?;
    drop(writer);
    let descriptors = sockets.iter().map(|open| dup(&*open.listener));
    let descriptors: Vec<OwnedFd> = descriptors.collect::<Result<_, _>>()?;
    let tickets = dup(secret(tickets)?)?;
    let handover = Handover {
        ready: ready.as_raw_fd(),
        tickets: Some(tickets.as_raw_fd()),
        sockets: sockets
            .iter()
            .zip(&descriptors)
            .map(|(open, descriptor)| Passed {
                descriptor: descriptor.as_raw_fd(),
                purpose: open.purpose.clone(),
                is_lent: open.keeper == Keeper::Manager,
            })
            .collect(),
    };
    let ready = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let child = command
        .env(VARIABLE, serde_json::to_string(&handover)?)
        .spawn()?;
    Ok(Successor {
        child: Some(child),
        ready,
    })
}
