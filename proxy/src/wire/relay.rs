//! One body on its way from one connection to another.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;

use super::{BodyError, Progress, Wire};
use crate::http::fields::Fields;
use crate::http1::body::BodyLength;
use crate::http1::chunked;
use crate::transport::buffer::BUFFER_SIZE;

/// Payload that is joined to one chunk.
const MAX_CHUNK: usize = BUFFER_SIZE - 64;
/// Room for the size line of such a chunk: four digits and CRLF.
const SIZE_LINE: usize = 6;

/// Moves a body, framed anew for its receiver.
///
/// Pieces of a body whose length is known are written from the buffer that they were read
/// into. Pieces of a chunked body are joined on the way, so that a sender of small chunks
/// costs the receiver no more than one of large ones.
#[derive(Debug)]
pub struct Relay {
    framing: BodyLength,
    /// Where the open chunk's size line is to be, in the receiver's queue.
    chunk: Option<usize>,
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

impl Relay {
    /// For a receiver that gets the body in this framing.
    pub fn new(framing: BodyLength) -> Relay {
        Relay {
            framing,
            chunk: None,
            moved: 0,
            is_complete: false,
            waits_for: Side::Source,
        }
    }

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

    /// Moves what can be moved; ready when all of it is in the receiver's socket.
    ///
    /// `head` is that of the message: trailers that its Connection names are left out.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn poll(
        &mut self,
        from: &mut Wire,
        to: &mut Wire,
        head: &Fields,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        while !self.is_complete {
            match from.poll_body(cx) {
                Poll::Pending => {
                    self.close_chunk(to);
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
                    let count = ready!(self.poll_piece(from.data(), to, cx));
                    let count = count.map_err(RelayError::Sink)?;
                    self.moved += count as u64;
                    from.consume_data(count);
                }
                Poll::Ready(Ok(Progress::End)) => self.end(from, to, head),
            }
        }
        self.waits_for = Side::Sink;
        to.poll_flush(cx).map_err(RelayError::Sink)
    }

    fn poll_piece(
        &mut self,
        data: &[u8],
        to: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.framing {
            BodyLength::Chunked => self.poll_chunk(data, to, cx),
            // A receiver that expects no body gets none; nothing sends one to it.
            BodyLength::None => Poll::Ready(Ok(data.len())),
            BodyLength::Known(_) | BodyLength::UntilClose => to.poll_write_data(data, cx),
        }
    }

    /// Joins a piece to the open chunk; a chunk that is full is written first.
    fn poll_chunk(
        &mut self,
        data: &[u8],
        to: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.chunk.is_none() {
            // Behind a head, if there is one; but not behind what the receiver has left, of
            // which the part that it took still has its place in the queue.
            if to.output.is_partly_sent() || to.output.pending().len() > MAX_CHUNK / 2 {
                ready!(to.poll_flush(cx))?;
            }
            let queue = to.output();
            self.chunk = Some(queue.len());
            queue.extend_from_slice(&[b'0'; SIZE_LINE]);
        }
        let queue = to.output.end();
        let room = MAX_CHUNK.saturating_sub(queue.len());
        if room == 0 {
            self.close_chunk(to);
            ready!(to.poll_flush(cx))?;
            return self.poll_chunk(data, to, cx);
        }
        let count = data.len().min(room);
        queue.extend_from_slice(&data[..count]);
        Poll::Ready(Ok(count))
    }

    /// Writes the size line of the open chunk, now that its size is known.
    fn close_chunk(&mut self, to: &mut Wire) {
        let Some(start) = self.chunk.take() else {
            return;
        };
        let queue = to.output.end();
        let payload = start + SIZE_LINE;
        let size = queue.len() - payload;
        if size == 0 {
            // An empty chunk would be the last one.
            queue.truncate(start);
            return;
        }
        let (line, length) = size_line(size);
        queue[start..start + length].copy_from_slice(&line[..length]);
        if length < SIZE_LINE {
            queue.copy_within(payload.., start + length);
            queue.truncate(start + length + size);
        }
        queue.extend_from_slice(b"\r\n");
    }

    fn end(&mut self, from: &Wire, to: &mut Wire, head: &Fields) {
        self.close_chunk(to);
        if self.framing == BodyLength::Chunked {
            let none = Fields::default();
            let trailers = from.trailers().unwrap_or(&none);
            chunked::push_last_chunk(trailers, head, to.output.end());
        }
        self.is_complete = true;
    }
}

/// The size line of a chunk of up to [`MAX_CHUNK`] bytes, and how long it is.
fn size_line(size: usize) -> ([u8; SIZE_LINE], usize) {
    let digits = (1..SIZE_LINE - 2)
        .find(|digits| size >> (4 * digits) == 0)
        .unwrap_or(SIZE_LINE - 2);
    let mut line = [b'\r'; SIZE_LINE];
    for (index, digit) in line[..digits].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[size >> (4 * (digits - 1 - index)) & 0xf];
    }
    line[digits + 1] = b'\n';
    (line, digits + 2)
}

#[cfg(test)]
mod tests;
