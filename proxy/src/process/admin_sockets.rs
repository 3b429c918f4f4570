//! The sockets of the admin interface.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode as FileMode, umask};
use tokio::net::{TcpListener, UnixListener};

use super::error::StartError;
use super::sockets::Sockets;
use crate::admin;
use crate::config;
use crate::downstream::listener::{Listener, unix_name};

/// Backlog: maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// Binds the configured sockets, or reuses those that were passed to this process.
///
/// # Errors
/// [`StartError::Admin`].
pub(super) fn bind(
    config: &config::Admin,
    sockets: &mut Sockets,
) -> Result<Vec<admin::Listener>, StartError> {
    let mut listeners = Vec::new();
    if let Some(path) = &config.socket {
        let bound = sockets.admin(&unix_name(path), || bind_unix(path));
        let listener = bound.and_then(|listener| UnixListener::from_std(into_std(listener)));
        let listener = listener.map_err(|source| StartError::Admin {
            address: path.display().to_string(),
            source,
        })?;
        listeners.push(admin::Listener::Unix(listener));
    }
    if let Some(address) = config.address {
        let bound = sockets.admin(&address.to_string(), || {
            let listener = std::net::TcpListener::bind(address)?;
            Listener::adopt(listener.into())
        });
        let listener = bound.and_then(|listener| TcpListener::from_std(into_std(listener)));
        let listener = listener.map_err(|source| StartError::Admin {
            address: address.to_string(),
            source,
        })?;
        listeners.push(admin::Listener::Tcp(listener));
    }
    Ok(listeners)
}

/// Logs the address of the interface.
pub(super) fn announce(listener: &admin::Listener) {
    match listener {
        admin::Listener::Unix(listener) => {
            let address = listener.local_addr().ok();
            let path = address.as_ref().and_then(|address| address.as_pathname());
            let address = path.unwrap_or(Path::new("")).display();
            tracing::info!(%address, "admin interface");
        }
        admin::Listener::Tcp(listener) => {
            let address = listener.local_addr().ok().map(tracing::field::display);
            tracing::info!(address, "admin interface, read-only");
        }
    }
}

fn into_std<T: From<OwnedFd>>(listener: Listener) -> T {
    T::from(OwnedFd::from(listener))
}

/// Creates the file with its final mode, so that no other user can connect, not even for a moment.
fn bind_unix(path: &PathBuf) -> io::Result<Listener> {
    // The umask applies to the whole process, but no other file is created at this time.
    let before = umask(FileMode::from_bits_truncate(0o177));
    let bound = Listener::unix(path, BACKLOG, |_| Ok(()));
    umask(before);
    bound
}
