//! The limit of file descriptors, and how many connections it allows.

use std::io;
use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use crate::downstream::resources::MAX_LINGERING;
use crate::tunnel::PIPE_DESCRIPTORS;

/// Descriptors for everything but connections, those that linger, and tunnels' pipes: listeners, pollers, logs,
/// plugins' files while they load, idle connections to servers.
const RESERVED: u64 = 256;
/// One for the client, one for the server.
const PER_CONNECTION: u64 = 2;

/// Too few file descriptors.
#[derive(Debug, Error)]
pub enum LimitError {
    /// For `max_connections`.
    #[error(
        "max_connections = {connections} needs {needed} file descriptors, but the limit is {limit}: \
         raise it (ulimit -n, or LimitNOFILE= in a systemd unit), or set max_connections to {possible} at most"
    )]
    TooLow {
        /// As configured.
        connections: u32,
        /// Descriptors that so many need.
        needed: u64,
        /// Descriptors there may be.
        limit: u64,
        /// Connections that the limit allows.
        possible: u64,
    },
    /// The limit cannot be read.
    #[error("cannot read the limit of file descriptors")]
    Unknown(#[source] io::Error),
}

/// Raises the limit as far as possible, and returns how many connections it allows.
///
/// # Errors
/// [`LimitError`], where `wanted` does not fit.
pub(super) fn raise(wanted: Option<NonZeroU32>, workers: usize) -> Result<u32, LimitError> {
    let reserved = RESERVED + (workers * (PIPE_DESCRIPTORS + MAX_LINGERING)) as u64;
    let unknown = |error: nix::Error| LimitError::Unknown(error.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(unknown)?;
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
    allow(wanted, limit, reserved)
}

fn descriptors(connections: u32, reserved: u64) -> u64 {
    u64::from(connections) * PER_CONNECTION + reserved
}

fn allow(wanted: Option<NonZeroU32>, limit: u64, reserved: u64) -> Result<u32, LimitError> {
    let possible = limit.saturating_sub(reserved) / PER_CONNECTION;
    match wanted {
        Some(wanted) if u64::from(wanted.get()) > possible => Err(LimitError::TooLow {
            connections: wanted.get(),
            needed: descriptors(wanted.get(), reserved),
            limit,
            possible,
        }),
        Some(wanted) => Ok(wanted.get()),
        // tokio's semaphores count no further than this, and no machine goes there.
        None => Ok(u32::try_from(possible)
            .unwrap_or(u32::MAX >> 3)
            .clamp(1, u32::MAX >> 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_limit_allows() {
        let check = |wanted: u32, limit, expected: Result<u32, &str>| {
            let found =
                allow(NonZeroU32::new(wanted), limit, RESERVED).map_err(|error| error.to_string());
            match (found, expected) {
                (Err(found), Err(expected)) => {
                    assert!(found.starts_with(expected), "{found}");
                }
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
            }
        };
        check(4096, 20_000, Ok(4096));
        check(0, 20_000, Ok(9872));
        check(0, 10, Ok(1));
        check(
            4096,
            1024,
            Err("max_connections = 4096 needs 8448 file descriptors, but the limit is 1024"),
        );
        check(384, 1024, Ok(384));
        check(385, 1024, Err("max_connections = 385 needs 1026"));
    }
}
