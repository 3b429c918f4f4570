//! A connected stream of bytes.
//!
//! HTTP reads and writes an [`Io`], and tunnels copy between two of them. An `Io` is a plain
//! socket, or TLS over one. Features of plain TCP only, such as a tunnel's `splice(2)`, are
//! available through [`Io::as_tcp`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::tls::TlsStream;

pub use super::socket::{CloseMode, Socket};

/// A stream of bytes that counts the bytes that pass through it.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    read: u64,
    written: u64,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    /// Boxed so that a connection without TLS is not as large as one with it.
    Tls(Box<TlsStream>),
}

impl Io {
    /// Wraps a plain socket.
    pub fn plain(socket: Socket) -> Io {
        Io::new(Stream::Plain(socket))
    }

    /// Wraps a TLS stream after its handshake.
    pub fn tls(stream: Box<TlsStream>) -> Io {
        Io::new(Stream::Tls(stream))
    }

    fn new(stream: Stream) -> Io {
        Io {
            stream,
            read: 0,
            written: 0,
        }
    }

    /// Returns the socket if it is plain TCP.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(Socket::Tcp(socket)) => Some(socket),
            Stream::Plain(Socket::Unix(_)) | Stream::Tls(_) => None,
        }
    }

    /// Returns the number of plaintext bytes read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Returns the number of plaintext bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns a counter that grows with every byte in either direction. With TLS it counts the
    /// socket's bytes, so that progress of a slow peer is visible even within one record.
    #[inline]
    pub fn moved(&self) -> u64 {
        match &self.stream {
            Stream::Plain(_) => self.read + self.written,
            Stream::Tls(stream) => stream.moved(),
        }
    }

    /// Polls for read readiness; a read can still find nothing. Needs no buffer.
    ///
    /// # Errors
    /// Errors of the poller.
    #[inline]
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads without waiting. Returns 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; errors of the socket. With TLS, also
    /// `UnexpectedEof` if the peer closed its socket without marking the end of its stream (RFC
    /// 8446, section 6.1), and `InvalidData` for a protocol violation.
    #[inline]
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_read(buffer)?,
            Stream::Tls(stream) => stream.try_read(buffer)?,
        };
        self.read += count as u64;
        Ok(count)
    }

    /// Returns whether there is nothing to read, neither bytes nor the end of the stream. Does not
    /// wait. A pooled connection must pass this check before it is reused.
    pub fn is_silent(&mut self) -> bool {
        // Makes no system call unless the poller has reported something.
        let result = match &mut self.stream {
            Stream::Plain(socket) => socket.try_read(&mut [0]),
            Stream::Tls(stream) => stream.try_read(&mut [0]),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Returns whether there is nothing to read, neither bytes nor the end of the stream. Makes a
    /// system call, which also detects events that the poller has not reported yet.
    pub fn has_nothing_to_read(&mut self) -> bool {
        match &mut self.stream {
            Stream::Plain(socket) => socket.has_nothing_to_read(),
            Stream::Tls(stream) => stream.has_nothing_to_read(),
        }
    }

    /// Writes as many bytes as there is space for, without waiting. With TLS, some of them can
    /// remain in the session as ciphertext; [`Io::poll_flush`] waits until the socket has accepted
    /// that.
    ///
    /// # Errors
    /// `WouldBlock` if there is no space; errors of the socket.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_write(bytes)?,
            Stream::Tls(stream) => stream.try_write(bytes)?,
        };
        self.written += count as u64;
        Ok(count)
    }

    /// Like [`Io::try_write`], for two slices.
    ///
    /// # Errors
    /// Like [`Io::try_write`].
    pub fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_write_vectored(&slices)?,
            Stream::Tls(stream) => stream.try_write_vectored(&slices)?,
        };
        self.written += count as u64;
        Ok(count)
    }

    /// Polls for write readiness; a write can still find no space.
    ///
    /// # Errors
    /// Errors of the poller.
    #[inline]
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.poll_write_ready(cx),
            Stream::Tls(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Returns whether the socket has accepted everything that was written.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => true,
            Stream::Tls(stream) => stream.is_flushed(),
        }
    }

    /// Ready once the socket has accepted everything that was written. A caller with nothing more
    /// to write must poll this future, because nothing else sends the rest.
    ///
    /// # Errors
    /// Errors of the socket.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.poll_flush(cx),
        }
    }

    /// Sends the end of the stream after everything that was written. Reading remains possible.
    /// Never waits on a plain socket.
    ///
    /// # Errors
    /// Errors of the socket.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Poll::Ready(socket.shutdown_write()),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// Returns the local address of a TCP connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Plain(socket) => socket.local_address(),
            Stream::Tls(stream) => stream.local_address(),
        }
    }

    /// Sets how the connection ends when it is dropped.
    pub fn set_close_mode(&mut self, mode: CloseMode) {
        match &mut self.stream {
            Stream::Plain(socket) => socket.set_close_mode(mode),
            Stream::Tls(stream) => stream.set_close_mode(mode),
        }
    }
}
