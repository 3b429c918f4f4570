//! The limit of file descriptors, and how many connections it allows.

use std::io;
use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use super::survey::Addresses;
use crate::downstream::resources::MAX_LINGERING;
use crate::tunnel::PIPE_DESCRIPTORS;

/// Descriptors of the process as a whole: standard streams, the log, pollers, the admin interface with
/// its connections, watched files, and what loads a plugin or starts a successor.
const FOR_PROCESS: u64 = 160;
/// A worker's poller, which tokio holds four descriptors for; its pipes; connections that linger.
const FOR_WORKER: u64 = 4 + (PIPE_DESCRIPTORS + MAX_LINGERING) as u64;
/// Of a listening socket: the worker's, the one that is kept to be passed on, and the one that a
/// successor is started with.
const FOR_SOCKET: u64 = 3;
/// One for the client, one for the server.
const PER_CONNECTION: u64 = 2;
/// IP addresses that reloads may add where `max_connections` is not set, unless that takes more than
/// an eighth of what is left for connections.
const SPARE_ADDRESSES: u64 = 16;

/// Too few file descriptors.
#[derive(Debug, Error)]
pub enum LimitError {
    /// For `max_connections`.
    #[error(
        "max_connections = {connections} needs {needed} file descriptors, {reserved} of them for workers and \
         listening sockets, but the limit is {limit}: raise it (ulimit -n, or LimitNOFILE= in a systemd \
         unit), or set max_connections to {possible} at most"
    )]
    TooLow {
        /// As configured.
        connections: u32,
        /// Descriptors that so many need.
        needed: u64,
        /// Of these, those for anything but connections.
        reserved: u64,
        /// Descriptors there may be.
        limit: u64,
        /// Connections that the limit allows.
        possible: u64,
    },
    /// For anything but connections.
    #[error(
        "workers and listening sockets need {reserved} file descriptors, but the limit is {limit}: raise it \
         (ulimit -n, or LimitNOFILE= in a systemd unit), or set fewer workers"
    )]
    None {
        /// Descriptors that they need.
        reserved: u64,
        /// Descriptors there may be.
        limit: u64,
    },
    /// The limit cannot be read.
    #[error("cannot read the limit of file descriptors")]
    Unknown(#[source] io::Error),
}

/// Raises the limit as far as possible, and returns how many connections it allows beside `workers`
/// that listen on `addresses`.
///
/// # Errors
/// [`LimitError`], where `wanted` does not fit.
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
        // root may go beyond the hard limit; others get up to it.
        let attempts = [(needed, hard.max(needed)), (hard, hard)];
        let raised = attempts
            .iter()
            .find(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard).is_ok());
        limit = raised.map_or(soft, |(soft, _)| *soft);
    }
    let spare = SPARE_ADDRESSES * workers as u64 * FOR_SOCKET;
    allow(wanted, limit, reserved, spare)
}

/// How many connections the limit as it is allows beside `workers` that listen on `addresses`: at
/// most `most`.
///
/// # Errors
/// [`LimitError`], where `wanted` does not fit.
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

/// Descriptors for anything but connections.
fn reserve(workers: usize, addresses: Addresses) -> u64 {
    let workers = workers as u64;
    let (ip, unix) = (addresses.ip as u64, addresses.unix as u64);
    // Over IP there is a socket for each worker; of a Unix socket each has a duplicate.
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
            // tokio's semaphores count no further than this, and no machine goes there.
            let most = u32::MAX >> 3;
            Ok(u32::try_from(possible).unwrap_or(most).min(most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_allows() {
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
        // An eighth of 160.
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
    fn what_is_reserved() {
        let reserved = |workers, ip, unix| reserve(workers, Addresses { ip, unix });
        assert_eq!(reserved(1, 0, 0), FOR_PROCESS + FOR_WORKER);
        // 32 workers with 16 addresses hold 1,152 descriptors for them at rest.
        let sockets = 32 * 16 * FOR_SOCKET;
        assert_eq!(reserved(32, 16, 0), FOR_PROCESS + 32 * FOR_WORKER + sockets);
        assert_eq!(reserved(4, 0, 1), FOR_PROCESS + 4 * FOR_WORKER + 6);
    }
}
