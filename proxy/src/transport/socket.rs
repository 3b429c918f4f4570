//! A connected TCP or Unix socket, read and written without waiting.
//!
//! Does not depend on TLS; `transport::io` and `transport::tls` are built on it.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected TCP or Unix socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// Calls the same method on the TCP or Unix socket.
macro_rules! each {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
        }
    };
}

impl Socket {
    /// Waits until the socket is ready for one of `interest`. Needs no buffer.
    ///
    /// # Errors
    /// Errors of the poller.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        each!(self, socket => socket.ready(interest).await)
    }

    /// Polls for read readiness; a read can still find nothing.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_read_ready(cx))
    }

    /// Polls for write readiness; a write can still find no space.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_write_ready(cx))
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; errors of the socket.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = each!(self, socket => socket.try_read(buffer))?;
        if 0 < count && count < buffer.len() {
            self.clear_read_ready();
        }
        Ok(count)
    }

    /// Peeks at the bytes that can be read, without waiting.
    ///
    /// Calls `look` with the first bytes, as many as fit into `buffer`, or with none at the end of
    /// the stream. `look` returns `None` if it needs more bytes than there are.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read, or less than `look` needs; errors of the socket.
    pub fn try_peek<T>(
        &self,
        buffer: &mut [u8],
        look: impl FnOnce(&[u8]) -> Option<T>,
    ) -> io::Result<T> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        each!(self, socket => socket.try_io(Interest::READABLE, || {
            let (_, count) = recv(socket, &mut *buffer, flags)?;
            let seen = buffer.get(..count).unwrap_or_default();
            // `WouldBlock` clears the readiness, so the poller reports the next byte.
            look(seen).ok_or_else(|| io::ErrorKind::WouldBlock.into())
        }))
    }

    /// Like [`Socket::try_read`], into two buffers.
    ///
    /// # Errors
    /// Like [`Socket::try_read`].
    pub fn try_read_both(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<usize> {
        let length = first.len() + second.len();
        let mut slices = [IoSliceMut::new(first), IoSliceMut::new(second)];
        let count = each!(self, socket => socket.try_read_vectored(&mut slices))?;
        if 0 < count && count < length {
            self.clear_read_ready();
        }
        Ok(count)
    }

    /// Clears the read readiness after a read that did not fill its buffer.
    ///
    /// Such a read has emptied the socket, so no further read is needed to find that out. Bytes
    /// that have arrived since then raise a new event.
    fn clear_read_ready(&self) {
        let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // The only error is the one that `empty` returns.
        let _ = each!(self, socket => socket.try_io(Interest::READABLE, empty));
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no space; errors of the socket.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.try_write(bytes))
    }

    /// Like [`Socket::try_write`], for several slices.
    ///
    /// # Errors
    /// Like [`Socket::try_write`].
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, socket => socket.try_write_vectored(slices))
    }

    /// Reads without consulting the poller, so that bytes that the poller has not reported yet are
    /// found as well.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; errors of the socket.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(each!(self, socket => recv(socket, buffer, RecvFlags::DONTWAIT))?.0)
    }

    /// Returns whether there is nothing to read, neither bytes nor the end of the stream. Makes a
    /// system call.
    pub fn has_nothing_to_read(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let result = each!(self, socket => recv(socket, &mut [0], flags));
        matches!(result, Err(Errno::WOULDBLOCK))
    }

    /// Returns the local address of a TCP connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Sends the end of the stream. Reading remains possible.
    ///
    /// # Errors
    /// Errors of `shutdown(2)`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        each!(self, socket => SockRef::from(socket).shutdown(Shutdown::Write))
    }

    /// Sets how the connection ends when it is dropped.
    pub fn set_close_mode(&self, mode: CloseMode) {
        if let Socket::Tcp(socket) = self {
            let linger = (mode == CloseMode::Reset).then_some(Duration::ZERO);
            // If it fails, the peer sees a clean close.
            let _ = SockRef::from(socket).set_linger(linger);
        }
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseMode {
    /// Cleanly, after everything that was written.
    Close,
    /// At once, by a reset, so that the peer can detect that data is missing.
    Reset,
}
