//! Relays a body from one connection to another.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;

use super::body::{BodyError, Progress};
use crate::http::fields::Fields;

/// The origin of a body.
pub trait Source {
    /// Reads the next part of the body.
    ///
    /// # Errors
    /// [`BodyError`]; the message cannot be completed.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>>;

    /// Returns the available payload.
    fn data(&self) -> &[u8];

    /// Returns whether the available payload ends the body and no trailers follow.
    fn is_final(&self) -> bool;

    /// Removes `count` bytes from the front of the payload.
    fn consume_data(&mut self, count: usize);

    /// Returns the trailers of a complete body.
    fn trailers(&self) -> Option<&Fields>;
}

/// The destination of a body, which has the framing that the head announced.
pub trait Sink {
    /// Accepts all or part of `data`. Returns the number of accepted bytes, at least one.
    ///
    /// `is_final` means that only [`Sink::end`] follows once all of `data` has been accepted.
    ///
    /// # Errors
    /// Errors of the stream.
    fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;

    /// Sends the accepted bytes, unless another task does so, as with HTTP/2.
    ///
    /// # Errors
    /// Errors of the stream.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Notifies the sink that the source has nothing more at the moment.
    fn pause(&mut self) {}

    /// Ends the body. `head` is the head of the body's message; trailers that its `Connection`
    /// names are left out.
    ///
    /// # Errors
    /// Errors of the stream.
    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()>;
}

/// The transfer of one body.
#[derive(Debug)]
pub struct Relay {
    moved: u64,
    is_complete: bool,
    waits_for: Side,
}

/// One of the two connections of a [`Relay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The connection that the body comes from.
    Source,
    /// The connection that the body goes to.
    Sink,
}

/// Reason why a body was not relayed completely.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The source failed.
    #[error(transparent)]
    Source(BodyError),
    /// The receiver does not accept the body.
    #[error("the receiver does not accept the body")]
    Sink(#[source] io::Error),
}

impl Default for Relay {
    fn default() -> Relay {
        Relay {
            moved: 0,
            is_complete: false,
            waits_for: Side::Source,
        }
    }
}

impl Relay {
    /// Returns the number of payload bytes moved so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Returns whether the end of the body was read and all of the body is at least queued.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Returns the side that the last poll waited for.
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Moves as much as possible. Ready once `to` has accepted the whole body and
    /// [`Sink::poll_flush`] is ready.
    ///
    /// `head` is the head of the body's message; trailers that its Connection names are left out.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn poll(
        &mut self,
        from: &mut impl Source,
        to: &mut impl Sink,
        head: &Fields,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        while !self.is_complete {
            match from.poll_body(cx) {
                Poll::Pending => {
                    to.pause();
                    self.waits_for = if to.poll_flush(cx).map_err(RelayError::Sink)?.is_ready() {
                        Side::Source
                    } else {
                        Side::Sink
                    };
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(RelayError::Source(error))),
                Poll::Ready(Ok(Progress::Data)) => {
                    self.waits_for = Side::Sink;
                    let count = ready!(to.poll_write(from.data(), from.is_final(), cx));
                    let count = count.map_err(RelayError::Sink)?;
                    self.moved += count as u64;
                    from.consume_data(count);
                }
                Poll::Ready(Ok(Progress::End)) => {
                    to.end(from.trailers(), head).map_err(RelayError::Sink)?;
                    self.is_complete = true;
                }
            }
        }
        self.waits_for = Side::Sink;
        to.poll_flush(cx).map_err(RelayError::Sink)
    }
}

#[cfg(test)]
mod tests;
