//! One side of a tunnel.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::http2::ByteStream;
use crate::transport::io::Io;

/// A bidirectional byte stream.
#[derive(Debug)]
pub enum End {
    /// A connection.
    Io(Io),
    /// A stream of an HTTP/2 connection.
    Http2(Box<ByteStream>),
}

/// Makes the same call on either variant's stream.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            End::Io($stream) => $call,
            End::Http2($stream) => $call,
        }
    };
}

impl End {
    /// Returns the socket, if the stream is plain TCP.
    pub(super) fn as_tcp(&self) -> Option<&TcpStream> {
        match self {
            End::Io(io) => io.as_tcp(),
            End::Http2(_) => None,
        }
    }

    /// Returns a number that grows with every byte in either direction.
    pub(super) fn moved(&self) -> u64 {
        each!(self, stream => stream.moved())
    }

    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read_ready(cx))
    }

    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_read(buffer))
    }

    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_write_ready(cx))
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_write(bytes))
    }

    /// Flushes the stream. Ready once all written bytes have been handed to the socket, or to the
    /// task of the HTTP/2 connection.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            End::Io(io) => io.poll_flush(cx),
            // The task of the HTTP/2 connection flushes its socket.
            End::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    /// Closes the sending direction of the stream after all written bytes have been sent.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            End::Io(io) => io.poll_shutdown(cx),
            End::Http2(stream) => Poll::Ready(stream.shutdown_write()),
        }
    }
}
