//! Notifies the service manager by the protocol of systemd's `sd_notify(3)`.
//!
//! Does nothing without `NOTIFY_SOCKET` in the environment.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// A phase in the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The process serves.
    Ready,
    /// The process reloads its configuration; [`Phase::Ready`] follows.
    Reloading,
    /// The process is ending.
    Stopping,
    /// The process with this ID has replaced this one.
    Succeeded(u32),
}

impl Phase {
    fn message(self) -> String {
        match self {
            Phase::Ready => "READY=1".to_owned(),
            // `Type=notify-reload` requires the time.
            Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_micros()),
            Phase::Stopping => "STOPPING=1".to_owned(),
            // The manager would not accept this message from the new process.
            Phase::Succeeded(successor) => format!("READY=1\nMAINPID={successor}"),
        }
    }
}

/// Notifies the service manager, if there is one.
pub(super) fn notify(phase: Phase) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not block this process.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(phase.message().as_bytes(), &address)
    });
    if let Err(error) = sent {
        tracing::warn!(%error, ?phase, "cannot notify the service manager");
    }
}

fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
