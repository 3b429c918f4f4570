//! One body on its way from one connection to another.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;

use super::body::{BodyError, Progress};
use crate::http::fields::Fields;

/// Where a body comes from.
pub trait Source {
    /// The next piece of the body.
    ///
    /// # Errors
    /// [`BodyError`]; the message cannot be completed.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>>;

    /// The payload that is there.
    fn data(&self) -> &[u8];

    /// Whether the payload that is there ends the body, and no trailers follow.
    fn is_final(&self) -> bool;

    /// The payload was used up to `count` bytes.
    fn consume_data(&mut self, count: usize);

    /// The trailers of a complete body.
    fn trailers(&self) -> Option<&Fields>;
}

/// Where a body goes, framed as was announced.
pub trait Sink {
    /// Takes a piece, or a part of it: yields how much, at least one byte. Whether it `is_final`
    /// tells that nothing but [`Sink::end`] follows once it was taken whole.
    ///
    /// # Errors
    /// Those of the stream.
    fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>>;

    /// Sends what was taken, as far as that is for this side to do.
    ///
    /// # Errors
    /// Those of the stream.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The source has nothing more at present.
    fn pause(&mut self) {}

    /// Ends the body. `head` is that of the message: trailers that its `Connection` names are
    /// left out.
    ///
    /// # Errors
    /// Those of the stream.
    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()>;
}

/// Moves a body.
#[derive(Debug)]
pub struct Relay {
    moved: u64,
    is_complete: bool,
    waits_for: Side,
}

/// One of the two connections of a [`Relay`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the body comes from.
    Source,
    /// Where it goes.
    Sink,
}

/// Why a body was not moved whole.
#[derive(Debug, Error)]
pub enum RelayError {
    /// It broke off.
    #[error(transparent)]
    Source(BodyError),
    /// Its receiver does not take it.
    #[error("the receiver does not take the body")]
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
    /// Bytes of payload moved so far.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the end was read, and everything is queued at least.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whom the last poll was waiting for.
    pub fn waits_for(&self) -> Side {
        self.waits_for
    }

    /// Moves what can be moved; ready when all of it was sent, as far as `to` does that.
    ///
    /// `head` is that of the message: trailers that its Connection names are left out.
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
