//! The ways in which requests fail at a server, used for ejections and retries.

use std::fmt;

use crate::config::Failures;

/// A way in which a request fails at a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The connection ended before a response arrived.
    Reset,
    /// No data arrived for `timeout.server`.
    Timeout,
    /// The response has this status.
    Status(u16),
}

impl Failure {
    /// Returns whether this failure is one of `failures`.
    pub fn is_among(self, failures: &Failures) -> bool {
        match self {
            Failure::Reset => failures.reset,
            Failure::Timeout => failures.timeout,
            Failure::Status(status) => failures.statuses.contains(status),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Reset => f.write_str("the connection was closed without a response"),
            Failure::Timeout => f.write_str("no answer in time"),
            Failure::Status(status) => write!(f, "status {status}"),
        }
    }
}
