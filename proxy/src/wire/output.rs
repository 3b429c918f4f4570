//! Bytes on their way into a connection: heads, and a body as HTTP/1.1 frames it.
//!
//! Pieces of a body whose length is known are written from the buffer that they were read into.
//! Pieces of a chunked body are joined on the way, so that a sender of small chunks costs the
//! receiver no more than one of large ones.

use std::io;
use std::task::{Context, Poll, ready};

use crate::http::fields::Fields;
use crate::http1::body::BodyLength;
use crate::http1::chunked;
use crate::transport::buffer::{BUFFER_SIZE, BufferPool, Queue};
use crate::transport::io::Io;

/// Payload that is joined to one chunk.
const MAX_CHUNK: usize = BUFFER_SIZE - 64;
/// Room for the size line of such a chunk: four digits and CRLF.
const SIZE_LINE: usize = 6;
/// Pending bytes and a piece of a body up to this many bytes are joined for one `send(2)`,
/// which is cheaper than `writev(2)` by more than the copy.
const MAX_JOINED: usize = 4096;

/// What waits to be written, and how the present body is framed.
#[derive(Debug)]
pub(super) struct Output {
    queue: Queue,
    framing: BodyLength,
    /// Where the open chunk's size line is to be, in the queue.
    chunk: Option<usize>,
}

impl Output {
    pub(super) fn new(pool: BufferPool) -> Output {
        Output {
            queue: Queue::new(pool),
            framing: BodyLength::None,
            chunk: None,
        }
    }

    /// Frames what is written from now on as a body of this length.
    pub(super) fn begin_body(&mut self, framing: BodyLength) {
        self.framing = framing;
        self.chunk = None;
    }

    /// The queue's end, to append a head to.
    #[inline]
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        self.queue.end()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn release_if_empty(&mut self) {
        self.queue.release_if_empty();
    }

    /// Writes the queue; ready when the socket has it, and all that was written before.
    pub(super) fn poll_flush(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            match io.try_write(self.queue.pending()) {
                Ok(count) => self.queue.consume(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(io.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.queue.release_if_empty();
        io.poll_flush(cx)
    }

    /// Takes a piece of the body, or a part of it: yields how much, at least one byte.
    #[inline]
    pub(super) fn poll_body(
        &mut self,
        data: &[u8],
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.framing {
            BodyLength::Chunked => self.poll_chunk(data, io, cx),
            // A receiver that expects no body gets none; nothing sends one to it.
            BodyLength::None => Poll::Ready(Ok(data.len())),
            BodyLength::Known(_) | BodyLength::UntilClose => self.poll_data(data, io, cx),
        }
    }

    /// Writes a piece behind the queue, or queues it if it is small and something else waits.
    fn poll_data(
        &mut self,
        data: &[u8],
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let pending = self.queue.pending().len();
        if 0 < pending && pending + data.len() <= MAX_JOINED {
            self.queue.end().extend_from_slice(data);
            return Poll::Ready(Ok(data.len()));
        }
        loop {
            let pending = self.queue.pending();
            let result = if pending.is_empty() {
                io.try_write(data)
            } else {
                io.try_write_both(pending, data)
            };
            match result {
                Ok(count) => {
                    let queued = count.min(self.queue.pending().len());
                    self.queue.consume(queued);
                    if count > queued {
                        self.queue.release_if_empty();
                        return Poll::Ready(Ok(count - queued));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(io.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Joins a piece to the open chunk; a chunk that is full is written first.
    fn poll_chunk(
        &mut self,
        data: &[u8],
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.chunk.is_none() {
            // Behind a head, if there is one; but not behind what the receiver has left, of
            // which the part that it took still has its place in the queue.
            if self.queue.is_partly_sent() || self.queue.pending().len() > MAX_CHUNK / 2 {
                ready!(self.poll_flush(io, cx))?;
            }
            let queue = self.queue.end();
            self.chunk = Some(queue.len());
            queue.extend_from_slice(&[b'0'; SIZE_LINE]);
        }
        let queue = self.queue.end();
        let room = MAX_CHUNK.saturating_sub(queue.len());
        if room == 0 {
            self.close_chunk();
            ready!(self.poll_flush(io, cx))?;
            return self.poll_chunk(data, io, cx);
        }
        let count = data.len().min(room);
        queue.extend_from_slice(&data[..count]);
        Poll::Ready(Ok(count))
    }

    /// Writes the size line of the open chunk, now that its size is known.
    pub(super) fn close_chunk(&mut self) {
        let Some(start) = self.chunk.take() else {
            return;
        };
        let queue = self.queue.end();
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

    /// Ends the body. `head` is that of the message.
    pub(super) fn end_body(&mut self, trailers: Option<&Fields>, head: &Fields) {
        self.close_chunk();
        if self.framing == BodyLength::Chunked {
            let none = Fields::default();
            chunked::push_last_chunk(trailers.unwrap_or(&none), head, self.queue.end());
        }
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
mod tests {
    use super::*;

    #[test]
    fn size_lines() {
        for size in [1, 9, 15, 16, 255, 256, 4095, 4096, MAX_CHUNK] {
            let (line, length) = size_line(size);
            assert_eq!(line[..length], *format!("{size:x}\r\n").as_bytes());
        }
    }
}
