//! A stream whose two bodies are the two directions of a tunnel (RFC 8441, section 5).

use std::io;
use std::task::{Context, Poll, ready};

use super::body::{Incoming, Outgoing};
use super::shared::Used;
use crate::http::fields::Fields;

/// A byte stream in both directions, read and written without waiting, like a socket.
#[derive(Debug)]
pub struct ByteStream {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Keeps a stream to a server counted as active.
    _used: Option<Used>,
}

impl ByteStream {
    pub(super) fn new(incoming: Incoming, outgoing: Outgoing, used: Option<Used>) -> ByteStream {
        ByteStream {
            incoming,
            outgoing,
            _used: used,
        }
    }

    /// Returns a counter that grows with every byte in either direction.
    pub fn moved(&self) -> u64 {
        self.incoming.received() + self.outgoing.sent()
    }

    /// Ready when a read will return data or the end.
    ///
    /// # Errors
    /// The stream was reset, or its connection is lost.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.incoming.poll(cx)).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }

    /// Reads without waiting, after [`poll_read_ready`](Self::poll_read_ready) was ready. Returns 0
    /// at the end.
    ///
    /// # Errors
    /// `WouldBlock` if no data is available.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.incoming.data().len().min(buffer.len());
        if count == 0 && !self.incoming.is_complete() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&self.incoming.data()[..count]);
        self.incoming.consume(count);
        Ok(count)
    }

    /// Ready when a write can make progress.
    ///
    /// # Errors
    /// Same as [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Reserves one byte, because the length of the write is not known yet.
        self.outgoing.poll_room(1, cx)
    }

    /// Writes as much as there is capacity for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no capacity.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.try_write(bytes, false)
    }

    /// Ends the sending direction; reading continues.
    ///
    /// # Errors
    /// Same as [`poll_read_ready`](Self::poll_read_ready).
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.outgoing.end(None, &Fields::default())
    }
}
