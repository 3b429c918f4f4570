//! The client's side of an exchange, independent of the version of HTTP.

use std::io;
use std::net::SocketAddr;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use crate::http::message::ResponseHead;
use crate::http1::body::BodyLength;
use crate::http1::write::{self, OutgoingResponse};
use crate::http2::server::Stream;
use crate::timer::Timer;
use crate::wire::{BodyError, Progress, Sink, Source, Wire};

/// The source of a request, and the sink for its response.
pub trait Client: Source + Sink {
    /// Returns the timer for all waits of the exchange.
    fn timer(&mut self) -> &mut Timer;

    /// Returns the local address of the client's connection; None if it is unknown or not TCP.
    fn local_address(&self) -> Option<SocketAddr>;

    /// Returns a counter that grows with all progress in either direction.
    fn moved(&self) -> u64;

    /// Maximum number of bytes of interim responses in one exchange. Stops a server that sends
    /// nothing else.
    const MAX_INTERIM_BYTES: usize;

    /// Returns whether part of the body has already arrived.
    fn has_early_body(&mut self, task: &mut Task<'_>) -> bool;

    /// Reads the body until its [`data`](Source::data) has at least `enough` bytes. Ready with
    /// [`Progress::Data`] once it has, and with [`Progress::End`] if the body is shorter. Data that
    /// is read this way is not consumed.
    ///
    /// # Errors
    /// [`BodyError`]; the request cannot be completed.
    fn poll_prefix(
        &mut self,
        enough: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<Progress, BodyError>>;

    /// Detects that the client is gone while its connection is not being read. A client that has
    /// closed its sending side in an orderly way may still wait for a response: it counts as gone
    /// once nothing has moved for `limit`. Ready with the error if the connection has failed.
    fn poll_gone(&mut self, limit: Duration, task: &mut Task<'_>) -> Poll<Option<io::Error>>;

    /// Returns whether everything queued has been sent.
    fn is_flushed(&self) -> bool;

    /// Queues `100 Continue`.
    fn push_continue(&mut self);

    /// Queues an interim response.
    fn push_interim(&mut self, head: &ResponseHead);

    /// Queues the head of the final response, which has a body of this length.
    fn push_head(&mut self, head: &ResponseHead, with: &OutgoingResponse<'_>, body: BodyLength);
}

impl Client for Wire {
    const MAX_INTERIM_BYTES: usize = 1024 * 1024;

    #[inline]
    fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.io.local_address()
    }

    #[inline]
    fn moved(&self) -> u64 {
        self.io.moved()
    }

    #[inline]
    fn has_early_body(&mut self, _task: &mut Task<'_>) -> bool {
        !self.input().is_empty()
    }

    fn poll_prefix(
        &mut self,
        enough: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        Wire::poll_prefix(self, enough, task)
    }

    #[inline]
    fn poll_gone(&mut self, limit: Duration, task: &mut Task<'_>) -> Poll<Option<io::Error>> {
        Wire::poll_gone(self, limit, task)
    }

    #[inline]
    fn is_flushed(&self) -> bool {
        Wire::is_flushed(self)
    }

    fn push_continue(&mut self) {
        let output = self.output();
        output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    fn push_interim(&mut self, head: &ResponseHead) {
        write::push_interim(head, self.output());
    }

    fn push_head(&mut self, head: &ResponseHead, with: &OutgoingResponse<'_>, body: BodyLength) {
        write::push_response(head, with, self.output());
        self.begin_outgoing(body);
    }
}

impl Client for Stream {
    // The connection buffers interim responses while the client does not read them.
    const MAX_INTERIM_BYTES: usize = 32 * 1024;

    fn timer(&mut self) -> &mut Timer {
        Stream::timer(self)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        // The connection's facts contain the address.
        None
    }

    fn moved(&self) -> u64 {
        Stream::moved(self)
    }

    fn has_early_body(&mut self, task: &mut Task<'_>) -> bool {
        Stream::has_early_body(self, task)
    }

    fn poll_prefix(
        &mut self,
        enough: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        Stream::poll_prefix(self, enough, task)
    }

    fn poll_gone(&mut self, _limit: Duration, task: &mut Task<'_>) -> Poll<Option<io::Error>> {
        // A half-closed client cannot disappear unnoticed: the end of the connection resets the
        // stream.
        Stream::poll_gone(self, task).map(Some)
    }

    fn is_flushed(&self) -> bool {
        true
    }

    fn push_continue(&mut self) {
        let mut head = ResponseHead::default();
        head.start(100, b"", crate::http::message::Version::Http2);
        self.push_interim(&head);
    }

    fn push_interim(&mut self, head: &ResponseHead) {
        Stream::push_interim(self, head);
    }

    fn push_head(&mut self, head: &ResponseHead, with: &OutgoingResponse<'_>, body: BodyLength) {
        Stream::push_head(self, head, with, body);
    }
}
