//! A stream whose two bodies are the two directions of a tunnel (RFC 8441, section 5).

use std::io;
use std::task::{Context, Poll, ready};

use super::body::{Incoming, Outgoing};
use super::shared::Used;
use crate::http::fields::Fields;

/// Bytes in either direction, moved without waiting, as those of a socket.
#[derive(Debug)]
pub struct ByteStream {
    incoming: Incoming,
    outgoing: Outgoing,
    /// Keeps a stream to a server counted.
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

    /// Grows with every byte in either direction.
    pub fn moved(&self) -> u64 {
        self.incoming.received() + self.outgoing.sent()
    }

    /// Ready when a read will find something.
    ///
    /// # Errors
    /// The stream was reset, or its connection is lost.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.incoming.poll(cx)).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }

    /// Reads without waiting what [`poll_read_ready`](Self::poll_read_ready) has found. 0 is the
    /// end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.incoming.data().len().min(buffer.len());
        if count == 0 && !self.incoming.is_complete() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&self.incoming.data()[..count]);
        self.incoming.consume(count);
        Ok(count)
    }

    /// Ready when a write will find room.
    ///
    /// # Errors
    /// As [`poll_read_ready`](Self::poll_read_ready).
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One byte: how much there is to write is not known yet.
        self.outgoing.poll_room(1, cx)
    }

    /// Writes without waiting as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.try_write(bytes, false)
    }

    /// Sends the end of the stream; reading goes on.
    ///
    /// # Errors
    /// As [`poll_read_ready`](Self::poll_read_ready).
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.outgoing.end(None, &Fields::default())
    }
}
