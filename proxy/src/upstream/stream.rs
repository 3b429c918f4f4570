//! The server's side of an exchange, over either version of HTTP.

use std::io;
use std::task::{Context, Poll};

use super::connection::Connection;
use crate::http::fields::Fields;
use crate::http2;
use crate::wire::{BodyError, Progress, Sink, Source};

/// The stream that carries a request to the server, and its response back.
#[derive(Debug)]
pub enum ServerStream {
    /// An exclusive HTTP/1.1 connection.
    Http1(Box<Connection>),
    /// A stream of an HTTP/2 connection that several requests share.
    Http2(Box<http2::client::Stream>),
}

/// Makes the same call on either variant's stream.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self {
            ServerStream::Http1(connection) => {
                let $stream = &mut connection.wire;
                $call
            }
            ServerStream::Http2(stream) => {
                let $stream = &mut **stream;
                $call
            }
        }
    };
}

impl ServerStream {
    /// Returns a number that grows with every transfer in either direction.
    #[inline]
    pub fn moved(&self) -> u64 {
        match self {
            ServerStream::Http1(connection) => connection.wire.io.moved(),
            ServerStream::Http2(stream) => stream.moved(),
        }
    }

    /// Prevents another exchange on an HTTP/1.1 connection after the current one.
    pub fn disable_reuse(&mut self) {
        if let ServerStream::Http1(connection) = self {
            connection.disable_reuse();
        }
    }

    /// Reserves an HTTP/1.1 connection for the client of the current exchange.
    pub fn make_private(&mut self) {
        // HTTP/2 has no private connections: servers that authenticate a connection require
        // HTTP/1.1.
        if let ServerStream::Http1(connection) = self {
            connection.make_private();
        }
    }

    /// Returns whether the connection is reserved for one client.
    pub fn is_private(&self) -> bool {
        match self {
            ServerStream::Http1(connection) => connection.is_private(),
            ServerStream::Http2(_) => false,
        }
    }

    /// Marks an HTTP/2 response as overdue. If the server has sent nothing on the connection since
    /// the request, the connection gets no further requests. Has no effect on HTTP/1.1.
    pub fn give_up(&self) {
        if let ServerStream::Http2(stream) = self {
            stream.give_up();
        }
    }

    /// Sends as many queued bytes as possible now. Errors are reported by the next read.
    pub fn flush(&mut self, cx: &mut Context<'_>) {
        let _ = each!(self, stream => Sink::poll_flush(stream, cx));
    }
}

impl Source for ServerStream {
    #[inline]
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>> {
        each!(self, stream => stream.poll_body(cx))
    }

    #[inline]
    fn data(&self) -> &[u8] {
        match self {
            ServerStream::Http1(connection) => connection.wire.data(),
            ServerStream::Http2(stream) => stream.data(),
        }
    }

    #[inline]
    fn is_final(&self) -> bool {
        match self {
            ServerStream::Http1(connection) => connection.wire.is_final(),
            ServerStream::Http2(stream) => stream.is_final(),
        }
    }

    #[inline]
    fn consume_data(&mut self, count: usize) {
        each!(self, stream => stream.consume_data(count));
    }

    fn trailers(&self) -> Option<&Fields> {
        match self {
            ServerStream::Http1(connection) => connection.wire.trailers(),
            ServerStream::Http2(stream) => stream.trailers(),
        }
    }
}

impl Sink for ServerStream {
    #[inline]
    fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(data, is_final, cx))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Sink::poll_flush(stream, cx))
    }

    #[inline]
    fn pause(&mut self) {
        each!(self, stream => stream.pause());
    }

    #[inline]
    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()> {
        each!(self, stream => stream.end(trailers, head))
    }
}
