//! A connected stream of bytes.
//!
//! [`Io`] is what HTTP reads and writes, and what tunnels move: a plain socket, or TLS over
//! one. Abilities of plain TCP alone, as a tunnel's `splice(2)`, are asked for by type:
//! [`Io::as_tcp`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::tls::TlsStream;

pub use super::socket::{EndBy, Socket};

/// A stream of bytes that counts what passes through it.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    read: u64,
    written: u64,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    /// Boxed: a connection without TLS must not be as large as one with it.
    Tls(Box<TlsStream>),
}

impl Io {
    /// A plain socket.
    pub fn plain(socket: Socket) -> Io {
        Io::new(Stream::Plain(socket))
    }

    /// TLS, after its handshake.
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

    /// The socket, if it is plain TCP.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(Socket::Tcp(socket)) => Some(socket),
            Stream::Plain(Socket::Unix(_)) | Stream::Tls(_) => None,
        }
    }

    /// Bytes read so far, as plaintext.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes written so far, as plaintext.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Grows with every byte in either direction. With TLS these are the bytes of the socket:
    /// a slow peer is seen to move within one record.
    #[inline]
    pub fn moved(&self) -> u64 {
        match &self.stream {
            Stream::Plain(_) => self.read + self.written,
            Stream::Tls(stream) => stream.moved(),
        }
    }

    /// Ready when a read may find something; costs no buffer.
    ///
    /// # Errors
    /// Those of the poller.
    #[inline]
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads without waiting. 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to read; those of the socket. With TLS also
    /// `UnexpectedEof` if the peer closed its socket without saying that its stream is complete
    /// (RFC 8446, section 6.1), and `InvalidData` for a violation of the protocol.
    #[inline]
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_read(buffer)?,
            Stream::Tls(stream) => stream.try_read(buffer)?,
        };
        self.read += count as u64;
        Ok(count)
    }

    /// Whether there is neither anything to read nor an end, without waiting: what a pooled
    /// connection must show before it serves again.
    pub fn is_silent(&mut self) -> bool {
        // No system call unless the poller has reported something.
        let result = match &mut self.stream {
            Stream::Plain(socket) => socket.try_read(&mut [0]),
            Stream::Tls(stream) => stream.try_read(&mut [0]),
        };
        result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether there is neither anything to read nor an end, by asking the system: events that
    /// the poller has not reported yet count, too.
    pub fn has_nothing_to_read(&mut self) -> bool {
        match &mut self.stream {
            Stream::Plain(socket) => socket.has_nothing_to_read(),
            Stream::Tls(stream) => stream.has_nothing_to_read(),
        }
    }

    /// Takes what there is room for, without waiting. With TLS some of it may still be in the
    /// session as ciphertext: [`Io::poll_flush`] waits until the socket has it.
    ///
    /// # Errors
    /// `WouldBlock` if there is none; those of the socket.
    #[inline]
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_write(bytes)?,
            Stream::Tls(stream) => stream.try_write(bytes)?,
        };
        self.written += count as u64;
        Ok(count)
    }

    /// As [`Io::try_write`], for two slices.
    ///
    /// # Errors
    /// As [`Io::try_write`].
    pub fn try_write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.try_write_vectored(&slices)?,
            Stream::Tls(stream) => stream.try_write_vectored(&slices)?,
        };
        self.written += count as u64;
        Ok(count)
    }

    /// Ready when a write may find room.
    ///
    /// # Errors
    /// Those of the poller.
    #[inline]
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.poll_write_ready(cx),
            Stream::Tls(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Whether the socket has everything that was written.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => true,
            Stream::Tls(stream) => stream.is_flushed(),
        }
    }

    /// Ready when the socket has everything that was written. To be polled by whoever has
    /// nothing more to write: nothing else sends the rest.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => stream.poll_flush(cx),
        }
    }

    /// Sends the end of the stream behind everything that was written; reading goes on. A
    /// plain socket never has to wait for that.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Poll::Ready(socket.shutdown_write()),
            Stream::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// This end of a TCP connection.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.stream {
            Stream::Plain(socket) => socket.local_address(),
            Stream::Tls(stream) => stream.local_address(),
        }
    }

    /// Decides how the connection ends when it is dropped.
    pub fn end_by(&mut self, end: EndBy) {
        match &mut self.stream {
            Stream::Plain(socket) => socket.end_by(end),
            Stream::Tls(stream) => stream.end_by(end),
        }
    }
}
