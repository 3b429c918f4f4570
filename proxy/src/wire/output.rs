//! Outgoing bytes of a connection: heads, and a body as HTTP/1.1 frames it.
//!
//! Parts of a body of known length are written from the buffer that they were read into. Parts of a
//! chunked body are joined into larger chunks, so that a sender of small chunks costs the receiver
//! no more than a sender of large chunks.

use std::io;
use std::task::{Context, Poll, ready};

use crate::http::fields::Fields;
use crate::http1::body::BodyLength;
use crate::http1::chunked;
use crate::transport::buffer::{BUFFER_SIZE, BufferPool, Queue};
use crate::transport::io::Io;

/// Maximum payload that is joined into one chunk.
const MAX_CHUNK: usize = BUFFER_SIZE - 64;
/// Space for the size line of a chunk of up to [`MAX_CHUNK`] bytes: four digits and CRLF.
const SIZE_LINE: usize = 6;
/// Maximum total size of pending bytes and body data that are joined for one `send(2)`. Up to this
/// size, copying the data for one `send(2)` is cheaper than `writev(2)`.
const MAX_JOINED: usize = 4096;

/// Bytes that wait to be written, and the framing of the current body.
#[derive(Debug)]
pub(super) struct Output {
    queue: Queue,
    framing: BodyLength,
    /// Position in the queue reserved for the open chunk's size line.
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

    /// Frames all subsequent writes as a body of this length.
    pub(super) fn begin_body(&mut self, framing: BodyLength) {
        self.framing = framing;
        self.chunk = None;
    }

    /// Returns the queue, for appending a head.
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

    /// Writes the queue. Ready once the socket has accepted it and everything written before.
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

    /// Accepts all or part of `data`, which is part of the body. Returns the number of accepted
    /// bytes, at least one.
    #[inline]
    pub(super) fn poll_body(
        &mut self,
        data: &[u8],
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match self.framing {
            BodyLength::Chunked => self.poll_chunk(data, io, cx),
            // The receiver expects no body, so the data is discarded. No caller passes any.
            BodyLength::None => Poll::Ready(Ok(data.len())),
            BodyLength::Known(_) | BodyLength::UntilClose => self.poll_data(data, io, cx),
        }
    }

    /// Writes `data` after the queue, or queues it if it is small and other bytes are waiting.
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

    /// Joins `data` to the open chunk. A full chunk is written first.
    fn poll_chunk(
        &mut self,
        data: &[u8],
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.chunk.is_none() {
            // A chunk can follow a head in the queue. It must not follow bytes that the receiver
            // has accepted only in part, because the accepted part still takes up space in the
            // queue.
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

    /// Ends the body. `head` is the head of the body's message.
    pub(super) fn end_body(&mut self, trailers: Option<&Fields>, head: &Fields) {
        self.close_chunk();
        if self.framing == BodyLength::Chunked {
            let none = Fields::default();
            chunked::push_last_chunk(trailers.unwrap_or(&none), head, self.queue.end());
        }
    }
}

/// Returns the size line of a chunk of up to [`MAX_CHUNK`] bytes, and the line's length.
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
