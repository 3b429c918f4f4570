//! The client's side of an exchange, whichever version of HTTP it speaks.

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

/// Where a request comes from, and its response goes to.
pub trait Client: Source + Sink {
    /// For all waits of the exchange.
    fn timer(&mut self) -> &mut Timer;

    /// This proxy's end of its connection, if that is known and over TCP.
    fn local_address(&self) -> Option<SocketAddr>;

    /// Grows with everything that passes in either direction.
    fn moved(&self) -> u64;

    /// Bytes of interim responses in one exchange that it may be sent: an end to those of a server
    /// that sends nothing else.
    const MAX_INTERIM_BYTES: usize;

    /// Whether a part of the body is there already.
    fn has_early_body(&mut self, task: &mut Task<'_>) -> bool;

    /// Reads the body until `enough` bytes are its [`data`](Source::data): ready with
    /// [`Progress::Data`] if they are, with [`Progress::End`] if the body has fewer. What is read
    /// stays the data that is next.
    ///
    /// # Errors
    /// [`BodyError`]; the request cannot be completed.
    fn poll_prefix(
        &mut self,
        enough: usize,
        task: &mut Task<'_>,
    ) -> Poll<Result<Progress, BodyError>>;

    /// Notices a client that is gone while it is not read from otherwise. One that has ended its
    /// side in order may still wait for an answer: it counts as gone once nothing has moved for
    /// `limit`. Ready with the error of one that failed.
    fn poll_gone(&mut self, limit: Duration, task: &mut Task<'_>) -> Poll<Option<io::Error>>;

    /// Whether everything queued was sent.
    fn is_flushed(&self) -> bool;

    /// Queues `100 Continue`.
    fn push_continue(&mut self);

    /// Queues an interim response.
    fn push_interim(&mut self, head: &ResponseHead);

    /// Queues the head of the final response, and begins its body, of this length.
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
    // They wait in the connection, as long as the client does not read them.
    const MAX_INTERIM_BYTES: usize = 32 * 1024;

    fn timer(&mut self) -> &mut Timer {
        Stream::timer(self)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        // Its connection's facts have it.
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
        // There is no half-closed client that may be gone: the connection's end resets it.
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
