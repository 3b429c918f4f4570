//! A connected stream of bytes.
//!
//! [`Io`] is what HTTP reads and writes; so far it is a plain socket. What only plain sockets
//! can do, as a tunnel's `splice(2)`, is asked for by type: [`Io::into_socket`].

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket of either family.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix stream socket.
    Unix(UnixStream),
}

/// Calls the same method on the socket inside.
macro_rules! each {
    ($self:expr, $socket:ident => $call:expr) => {
        match $self {
            Socket::Tcp($socket) => $call,
            Socket::Unix($socket) => $call,
        }
    };
}

impl Socket {
    /// Waits for one of `interest`; costs no buffer.
    ///
    /// # Errors
    /// Those of the poller.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        each!(self, socket => socket.ready(interest).await)
    }

    /// Ready when a read may find something.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_read_ready(cx))
    }

    /// Ready when a write may find room.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, socket => socket.poll_write_ready(cx))
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; those of the socket.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = each!(self, socket => socket.try_read(buffer))?;
        if 0 < count && count < buffer.len() {
            self.clear_read_ready();
        }
        Ok(count)
    }

    /// After a read that did not fill its buffer nothing is left: the poller need not be
    /// asked by another read. Bytes that have come since raise a new event.
    fn clear_read_ready(&self) {
        let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // The error is the one that was put in.
        let _ = each!(self, socket => socket.try_io(Interest::READABLE, empty));
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; those of the socket.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.try_write(bytes))
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, socket => socket.try_write_vectored(slices))
    }

    /// Sends the end of the stream; reading goes on.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        each!(self, socket => SockRef::from(socket).shutdown(Shutdown::Write))
    }
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndBy {
    /// In order, after all that was written.
    Close,
    /// At once: the peer learns that something is missing.
    Reset,
}

/// A stream of bytes that counts what passes through it.
#[derive(Debug)]
pub struct Io {
    socket: Socket,
    read: u64,
    written: u64,
}

impl Io {
    /// A plain socket.
    pub fn plain(socket: Socket) -> Io {
        Io {
            socket,
            read: 0,
            written: 0,
        }
    }

    /// The socket, for what only a plain one can do.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Grows with every byte in either direction.
    #[inline]
    pub fn moved(&self) -> u64 {
        self.read + self.written
    }

    /// Ready when a read may find something; costs no buffer.
    ///
    /// # Errors
    /// Those of the poller.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    /// Reads without waiting. 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; those of the socket.
    #[inline]
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.try_read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }

    /// Whether there is neither anything to read nor an end, without waiting: what a pooled
    /// connection must show before it serves again.
    pub fn is_silent(&mut self) -> bool {
        // No system call unless the poller has reported something.
        match self.socket.try_read(&mut [0]) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Whether there is neither anything to read nor an end, by asking the system: events that
    /// the poller has not reported yet count, too.
    pub fn has_nothing_to_read(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let result = each!(&self.socket, socket => recv(socket, &mut [0], flags));
        matches!(result, Err(Errno::WOULDBLOCK))
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; those of the socket.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.socket.try_write(bytes)?;
        self.written += count as u64;
        Ok(count)
    }

    /// As [`Io::try_write`], for two slices.
    ///
    /// # Errors
    /// As [`Io::try_write`].
    pub fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let count = self.socket.try_write_vectored(&slices)?;
        self.written += count as u64;
        Ok(count)
    }

    /// Ready when a write may find room.
    ///
    /// # Errors
    /// Those of the poller.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_write_ready(cx)
    }

    /// Sends the end of the stream; reading goes on.
    ///
    /// # Errors
    /// Those of `shutdown(2)`.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket.shutdown_write()
    }

    /// Decides how the connection ends when it is dropped.
    pub fn end_by(&self, end: EndBy) {
        if let Socket::Tcp(socket) = &self.socket {
            let linger = (end == EndBy::Reset).then_some(Duration::ZERO);
            // If it fails, the peer sees an orderly end.
            let _ = SockRef::from(socket).set_linger(linger);
        }
    }
}
