//! The limit on file descriptors, and how many connections it allows.

use std::io;
use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use super::survey::Addresses;
use crate::downstream::resources::MAX_LINGERING;
use crate::tunnel::PIPE_DESCRIPTORS;

/// Descriptors for the process as a whole: standard streams, the log, pollers, the admin interface
/// with its connections, watched files, loading of plugins, and starting a successor.
const FOR_PROCESS: u64 = 160;
/// Descriptors per worker: four for its poller in tokio, its pipes, and lingering connections.
const FOR_WORKER: u64 = 4 + (PIPE_DESCRIPTORS + MAX_LINGERING) as u64;
/// Descriptors per listening socket: the worker's, the one kept for passing it on, and the one
/// passed to a successor.
const FOR_SOCKET: u64 = 3;
/// Descriptors per connection: one for the client, one for the server.
const PER_CONNECTION: u64 = 2;
/// Number of IP addresses that reloads can add if `max_connections` is not set. Descriptors are
/// reserved for them, but at most an eighth of those that are left for connections.
const SPARE_ADDRESSES: u64 = 16;

/// There are too few file descriptors, or their limit cannot be read.
#[derive(Debug, Error)]
pub enum LimitError {
    /// Too few for `max_connections`.
    #[error(
        "max_connections = {connections} needs {needed} file descriptors, {reserved} of them for workers and \
         listening sockets, but the limit is {limit}: raise it (ulimit -n, or LimitNOFILE= in a systemd \
         unit), or set max_connections to {possible} at most"
    )]
    TooLow {
        /// The configured `max_connections`.
        connections: u32,
        /// Descriptors that the process needs with this many connections.
        needed: u64,
        /// Part of `needed` that is not for connections.
        reserved: u64,
        /// Maximum number of descriptors.
        limit: u64,
        /// Connections that the limit allows.
        possible: u64,
    },
    /// Too few for any connection.
    #[error(
        "workers and listening sockets need {reserved} file descriptors, but the limit is {limit}: raise it \
         (ulimit -n, or LimitNOFILE= in a systemd unit), or set fewer workers"
    )]
    None {
        /// Descriptors that workers and listening sockets need.
        reserved: u64,
        /// Maximum number of descriptors.
        limit: u64,
    },
    /// The limit cannot be read.
    #[error("cannot read the limit of file descriptors")]
    Unknown(#[source] io::Error),
}

/// Raises the limit as needed and as far as possible. Returns how many connections the limit allows
/// in addition to `workers` that listen on `addresses`.
///
/// # Errors
/// [`LimitError`], if `wanted` connections do not fit.
pub(super) fn raise(
    wanted: Option<NonZeroU32>,
    workers: usize,
    addresses: Addresses,
) -> Result<u32, LimitError> {
    let reserved = reserve(workers, addresses);
    let (soft, hard) = limits()?;
    let needed = wanted.map_or(hard, |wanted| descriptors(wanted.get(), reserved));
    let mut limit = soft;
    if soft < needed {
        // root can exceed the hard limit; other users can only raise the soft limit up to it.
        let attempts = [(needed, hard.max(needed)), (hard, hard)];
        let raised = attempts
            .iter()
            .find(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard).is_ok());
        limit = raised.map_or(soft, |(soft, _)| *soft);
    }
    let spare = SPARE_ADDRESSES * workers as u64 * FOR_SOCKET;
    allow(wanted, limit, reserved, spare)
}

/// Returns how many connections the current limit allows in addition to `workers` that listen on
/// `addresses`: at most `most`.
///
/// # Errors
/// [`LimitError`], if `wanted` connections do not fit.
pub(super) fn check(
    wanted: Option<NonZeroU32>,
    most: u32,
    workers: usize,
    addresses: Addresses,
) -> Result<u32, LimitError> {
    let (limit, _) = limits()?;
    let reserved = reserve(workers, addresses);
    Ok(allow(wanted, limit, reserved, 0)?.min(most))
}

fn limits() -> Result<(u64, u64), LimitError> {
    getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| LimitError::Unknown(error.into()))
}

/// Returns the number of descriptors that are not for connections.
fn reserve(workers: usize, addresses: Addresses) -> u64 {
    let workers = workers as u64;
    let (ip, unix) = (addresses.ip as u64, addresses.unix as u64);
    // Each worker has its own IP sockets, but only a duplicate of each Unix socket.
    let sockets = ip * workers * FOR_SOCKET + unix * (workers + FOR_SOCKET - 1);
    FOR_PROCESS + workers * FOR_WORKER + sockets
}

fn descriptors(connections: u32, reserved: u64) -> u64 {
    u64::from(connections) * PER_CONNECTION + reserved
}

fn allow(
    wanted: Option<NonZeroU32>,
    limit: u64,
    reserved: u64,
    spare: u64,
) -> Result<u32, LimitError> {
    let free = limit.saturating_sub(reserved);
    let possible = free / PER_CONNECTION;
    if possible == 0 {
        return Err(LimitError::None { reserved, limit });
    }
    match wanted {
        Some(wanted) if u64::from(wanted.get()) > possible => Err(LimitError::TooLow {
            connections: wanted.get(),
            needed: descriptors(wanted.get(), reserved),
            reserved,
            limit,
            possible,
        }),
        Some(wanted) => Ok(wanted.get()),
        None => {
            let possible = (free - spare.min(free / 8)) / PER_CONNECTION;
            // This is the maximum of tokio's semaphores, and more than any machine needs.
            let most = u32::MAX >> 3;
            Ok(u32::try_from(possible).unwrap_or(most).min(most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_connections_depends_on_the_descriptor_limit() {
        let check = |wanted: u32, limit, expected: Result<u32, &str>| {
            let found = allow(NonZeroU32::new(wanted), limit, 256, 100);
            let found = found.map_err(|error| error.to_string());
            match (found, expected) {
                (Err(found), Err(expected)) => {
                    assert!(found.starts_with(expected), "{found}");
                }
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
            }
        };
        check(4096, 20_000, Ok(4096));
        check(0, 20_000, Ok(9822));
        // Descriptors are reserved for added addresses: an eighth of 160.
        check(0, 416, Ok(70));
        check(0, 258, Ok(1));
        check(
            4096,
            1024,
            Err("max_connections = 4096 needs 8448 file descriptors, 256 of them for workers"),
        );
        check(384, 1024, Ok(384));
        check(385, 1024, Err("max_connections = 385 needs 1026"));
        let none = "workers and listening sockets need 256 file descriptors, but the limit is 257";
        check(0, 257, Err(none));
        check(384, 257, Err(none));
    }

    #[test]
    fn descriptors_are_reserved_for_workers_and_sockets() {
        let reserved = |workers, ip, unix| reserve(workers, Addresses { ip, unix });
        assert_eq!(reserved(1, 0, 0), FOR_PROCESS + FOR_WORKER);
        // At rest, 32 workers with 16 addresses have 1,152 descriptors open.
        let sockets = 32 * 16 * FOR_SOCKET;
        assert_eq!(reserved(32, 16, 0), FOR_PROCESS + 32 * FOR_WORKER + sockets);
        assert_eq!(reserved(4, 0, 1), FOR_PROCESS + 4 * FOR_WORKER + 6);
    }
}
