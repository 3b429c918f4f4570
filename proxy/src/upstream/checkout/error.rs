//! Why there is no connection for a request.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::upstream::connect::DialCause;
use crate::upstream::endpoint::Address;

/// Failed attempts that an error lists.
const MAX_LISTED: usize = 8;

/// Why there is no connection for a request.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// These attempts failed, in this order, and no other endpoint is left.
    #[error("no server could be reached: {}", list(.0))]
    Unreachable(Vec<DialError>),
    /// No server is usable, for another reason than failed attempts: checks, or an operator.
    #[error("no server is usable")]
    NoneUsable,
    /// No slot came free within `timeout.queue`.
    #[error("no server had a free slot for {}", format_seconds(*.0))]
    QueueTimeout(Duration),
    /// As many requests wait as may: `max_queue`.
    #[error("no server has a free slot, and the queue is full")]
    QueueFull,
}

/// A connection that could not be made.
#[derive(Debug, Error)]
#[error("`{server}` at {address}: {error}")]
pub struct DialError {
    /// The server's name.
    pub server: String,
    /// The address that was tried.
    pub address: Address,
    /// The error that connecting ended with. A part of the text, since one of several errors is
    /// not the source of all.
    pub error: io::Error,
}

impl DialError {
    /// Whether another attempt may go better: the system could not connect.
    pub(super) fn may_pass(&self) -> bool {
        self.error.raw_os_error().is_some() || self.error.kind() == io::ErrorKind::TimedOut
    }

    /// The kind of its error.
    pub fn cause(&self) -> DialCause {
        DialCause::of(&self.error)
    }
}

fn list(errors: &[DialError]) -> String {
    let shown = errors.iter().take(MAX_LISTED).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if let Some(more) = errors
        .len()
        .checked_sub(MAX_LISTED)
        .filter(|more| *more > 0)
    {
        // Writing to a String does not fail.
        let _ = write!(text, "; {more} more");
    }
    text
}

fn format_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
