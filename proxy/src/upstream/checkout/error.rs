//! Reasons why there is no connection for a request.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::upstream::connect::DialCause;
use crate::upstream::endpoint::Address;

/// Maximum number of failed attempts that an error lists.
const MAX_LISTED: usize = 8;

/// Reason why there is no connection for a request.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// These attempts to connect failed, in this order, and no other endpoint is left.
    #[error("no server could be reached: {}", list(.0))]
    Unreachable(Vec<DialError>),
    /// No server is usable, because of health checks or an operator rather than because of failed
    /// attempts to connect.
    #[error("no server is usable")]
    NoneUsable,
    /// No slot became free within `timeout.queue`.
    #[error("no server had a free slot for {}", format_seconds(*.0))]
    QueueTimeout(Duration),
    /// The queue is full: `max_queue` requests are waiting.
    #[error("no server has a free slot, and the queue is full")]
    QueueFull,
}

/// A failed connection attempt.
#[derive(Debug, Error)]
#[error("`{server}` at {address}: {error}")]
pub struct DialError {
    /// Name of the server.
    pub server: String,
    /// The address that was tried.
    pub address: Address,
    /// The error of the attempt. It is part of the message rather than the source, because an error
    /// with several causes can name only one of them as its source.
    pub error: io::Error,
}

impl DialError {
    /// Returns whether another attempt can succeed, which is the case if the system could not
    /// connect.
    pub(super) fn is_transient(&self) -> bool {
        self.error.raw_os_error().is_some() || self.error.kind() == io::ErrorKind::TimedOut
    }

    /// Returns the kind of the error.
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
