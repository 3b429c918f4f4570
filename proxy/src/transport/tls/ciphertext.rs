//! Adapters through which rustls reads and writes a socket.

use std::io::{self, IoSlice, Read, Write};

use crate::transport::socket::Socket;

/// When the socket is read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// Only if the poller has reported readiness.
    Poller,
    /// Always, even if the poller has reported nothing.
    System,
}

/// A socket that a session reads ciphertext from.
pub(super) struct Receiver<'a> {
    socket: &'a Socket,
    source: Source,
    spill: &'a mut [u8],
    spilled: usize,
    is_filled: bool,
}

impl<'a> Receiver<'a> {
    /// Creates a receiver. Bytes that do not fit into the session at once go to `spill`.
    pub(super) fn new(socket: &'a Socket, source: Source, spill: &'a mut [u8]) -> Receiver<'a> {
        Receiver {
            socket,
            source,
            spill,
            spilled: 0,
            is_filled: false,
        }
    }

    /// Returns the number of bytes in `spill`.
    pub(super) fn spilled(&self) -> usize {
        self.spilled
    }

    /// Returns whether the last read filled all available space.
    pub(super) fn is_filled(&self) -> bool {
        self.is_filled
    }
}

impl Read for Receiver<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.source {
            Source::System => self.socket.receive(buffer)?,
            Source::Poller if self.spill.is_empty() => self.socket.try_read(buffer)?,
            Source::Poller => self.socket.try_read_both(buffer, self.spill)?,
        };
        let direct = count.min(buffer.len());
        self.spilled = count - direct;
        self.is_filled = direct == buffer.len() && self.spilled == self.spill.len();
        Ok(direct)
    }
}

/// A socket that a session writes ciphertext to.
pub(super) struct Sender<'a>(pub(super) &'a Socket);

impl Write for Sender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // Cheaper than a vectored write of one slice.
            [one] => self.0.try_write(one),
            _ => self.0.try_write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that has nothing to read at the moment.
pub(super) struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
