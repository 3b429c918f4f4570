//! HTTP/2 with a client: its connection, and the streams that the client opens.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use h2::server::{self, SendResponse};
use tokio::time::Instant;

use super::body::{self, Incoming, Outgoing};
use super::budget::{Budget, Violation};
use super::head::{self, Rest};
use super::io::{Watch, WatchedIo};
use super::{
    ByteStream, CONNECTION_WINDOW, FRAME_SIZE, Http2Error, Opaque, SEND_BUFFER, STREAM_WINDOW,
    Settings,
};
use crate::http::edit::Edit;
use crate::http::fields::Fields;
use crate::http::message::{RequestHead, ResponseHead};
use crate::http1::Limits;
use crate::http1::body::BodyLength;
use crate::http1::request::{Parsed as Request, RequestError};
use crate::http1::write::OutgoingResponse;
use crate::timer::Timer;
use crate::transport::io::Io;
use crate::wire::{BodyError, Progress, Sink, Source};

/// Minimum for the limit on streams that the client resets before they are accepted: the default of
/// h2. The limit is higher if the client can have more streams open.
const MIN_PENDING_RESETS: usize = 20;

/// Maximum part of a request's body to wait for after the response: as much as a client can send
/// before it sees the response.
const MAX_LATE_BODY: u64 = 64 * 1024;

/// A client's connection.
pub struct Connection {
    h2: server::Connection<WatchedIo, Bytes>,
    watch: Rc<Watch>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Connection").fmt(f)
    }
}

/// A new stream with a request whose head has not been read.
pub struct Opened {
    parts: http::request::Parts,
    rest: Rest,
    stream: Box<Stream>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Opened").fmt(f)
    }
}

impl Connection {
    /// Waits for the client's preface.
    ///
    /// # Errors
    /// [`Http2Error`].
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn accept(io: Io, settings: &Settings) -> Result<Connection, Http2Error> {
        let watch = Watch::new(Budget::of_client(Instant::now()));
        let max_streams = usize::try_from(settings.max_concurrent_streams).unwrap_or(usize::MAX);
        let mut builder = server::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_SIZE)
            .max_header_list_size(settings.max_header_size)
            .max_concurrent_streams(settings.max_concurrent_streams)
            // A browser that leaves a page resets its requests, perhaps right after sending all of
            // them.
            .max_pending_accept_reset_streams(max_streams.max(MIN_PENDING_RESETS))
            .max_send_buffer_size(SEND_BUFFER)
            .enable_connect_protocol();
        let h2 = builder.handshake(WatchedIo::new(io, &watch)).await?;
        Ok(Connection { h2, watch })
    }

    /// Returns the next stream that the client opens; None once the connection has ended. Drives
    /// the whole connection.
    ///
    /// # Errors
    /// [`Http2Error`]: the connection has ended.
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Opened, Http2Error>>> {
        self.h2.poll_accept(cx).map(|accepted| {
            let accepted = accepted?.map_err(Http2Error);
            Some(accepted.map(|(request, respond)| {
                let (parts, stream) = request.into_parts();
                let rest = if stream.is_end_stream() {
                    Rest::None
                } else {
                    Rest::Follows
                };
                Opened {
                    parts,
                    rest,
                    stream: Box::new(Stream::new(Incoming::new(Some(stream)), respond)),
                }
            }))
        })
    }

    /// Waits until the connection has ended, without accepting further streams.
    pub async fn closed(&mut self) {
        // How the connection ended no longer matters.
        let _ = poll_fn(|cx| self.h2.poll_closed(cx)).await;
    }

    /// Starts a graceful shutdown: asks the client to open no further streams, and ends the
    /// connection after the last one. No request is lost: those in flight are served (RFC 9113,
    /// section 6.8).
    pub fn drain(&mut self) {
        self.h2.graceful_shutdown();
    }

    /// Ends the connection at once, and reports the reason to the client.
    pub fn refuse(&mut self, violation: Violation) {
        self.h2.abrupt_shutdown(match violation {
            Violation::Preface => Reason::PROTOCOL_ERROR,
            Violation::Flood => Reason::ENHANCE_YOUR_CALM,
        });
    }

    /// Returns the client's violation that must end the connection, if any.
    pub fn violation(&self) -> Option<Violation> {
        self.watch.violation()
    }

    /// Returns whether any stream is open.
    pub fn has_streams(&self) -> bool {
        self.h2.has_streams()
    }

    /// Returns whether output is waiting because the client does not read.
    pub fn is_blocked(&self) -> bool {
        self.watch.is_blocked()
    }

    /// Returns a counter that grows with every byte in either direction.
    pub fn moved(&self) -> u64 {
        self.watch.moved()
    }
}

impl Opened {
    /// Converts and validates the request's head.
    ///
    /// # Errors
    /// [`RequestError`]; `head` contains as much as was understood, for the log.
    pub fn read(&self, limits: &Limits, head: &mut RequestHead) -> Result<Request, RequestError> {
        head::request(&self.parts, self.rest, limits, head)
    }

    /// Returns the stream, for the body and the response.
    pub fn into_stream(self) -> Box<Stream> {
        self.stream
    }
}

/// One request's stream.
pub struct Stream {
    incoming: Incoming,
    respond: SendResponse<Bytes>,
    /// The response body; None until the response has begun.
    outgoing: Option<Outgoing>,
    /// Timer for all waits on this stream.
    timer: Timer,
    /// Error of a response that could not be sent.
    error: Option<Http2Error>,
    /// `true` if the client sends a tunnel's bytes instead of a body.
    is_tunnel: bool,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Stream").fmt(f)
    }
}

impl Stream {
    fn new(incoming: Incoming, respond: SendResponse<Bytes>) -> Stream {
        Stream {
            incoming,
            respond,
            outgoing: None,
            timer: Timer::default(),
            error: None,
            is_tunnel: false,
        }
    }

    /// Marks the request as one for a tunnel: the client's data belongs to the tunnel and is not a
    /// body.
    pub fn expect_tunnel(&mut self) {
        self.is_tunnel = true;
        self.incoming.limit(None);
    }

    /// Limits the request's body to `limit` bytes. The chunk that exceeds the limit is not
    /// delivered.
    pub fn limit_body(&mut self, limit: Option<u64>) {
        self.incoming.limit(limit);
    }

    /// Returns whether part of the request's body has already arrived.
    pub fn has_early_body(&mut self, cx: &mut Context<'_>) -> bool {
        !self.is_tunnel && self.incoming.has_begun(cx)
    }

    /// Reads the request's body until at least `enough` bytes are buffered. Ready with
    /// [`Progress::Data`] once they are, and with [`Progress::End`] if the body is shorter.
    ///
    /// # Errors
    /// [`BodyError`]; the body cannot be completed.
    pub fn poll_prefix(
        &mut self,
        enough: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Progress, BodyError>> {
        self.incoming.poll_prefix(enough, cx)
    }

    /// Returns whether the whole request body has been read.
    pub fn is_body_complete(&self) -> bool {
        self.incoming.is_complete()
    }

    /// Reads and discards the rest of a body of known length, if the rest is short. Ready when
    /// there is nothing left to wait for.
    ///
    /// Clients can send the end of a body in a separate frame. RFC 9113, section 8.1, allows a
    /// server to reset the stream before that frame arrives, but some clients then fail the
    /// request.
    pub fn poll_late_end(&mut self, length: BodyLength, cx: &mut Context<'_>) -> Poll<()> {
        let BodyLength::Known(length) = length else {
            return Poll::Ready(());
        };
        while !self.is_tunnel && length.saturating_sub(self.incoming.received()) <= MAX_LATE_BODY {
            match ready!(self.incoming.poll(cx)) {
                Ok(Progress::Data) => self.incoming.consume(self.incoming.data().len()),
                _ => break,
            }
        }
        Poll::Ready(())
    }

    /// Returns the timer for all waits on this stream.
    pub fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// Returns a counter that grows with every byte of either body.
    pub fn moved(&self) -> u64 {
        let sent = self.outgoing.as_ref().map_or(0, Outgoing::sent);
        self.incoming.received() + sent
    }

    /// Sends the head of a response that has a body of this length. If this fails, the next write
    /// or flush reports the error.
    pub fn push_head(
        &mut self,
        head: &ResponseHead,
        with: &OutgoingResponse<'_>,
        body: BodyLength,
    ) {
        self.begin(head::outgoing_response(head, with), body);
    }

    /// Sends the response that opens the WebSocket.
    pub fn push_accepted(&mut self, head: &ResponseHead, edits: &[Edit]) {
        self.begin(head::accepted(head, edits), BodyLength::Chunked);
    }

    fn begin(&mut self, response: http::Response<()>, body: BodyLength) {
        match self.respond.send_response(response, body.is_empty()) {
            Ok(stream) => self.outgoing = Some(Outgoing::new(stream, body.is_empty())),
            Err(error) => self.error = Some(Http2Error(error)),
        }
    }

    /// Sends an interim response.
    pub fn push_interim(&mut self, head: &ResponseHead) {
        // If the client is gone, the final response fails.
        let _ = self.respond.send_informational(head::interim(head));
    }

    /// Ready once the client has reset the stream.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.poll_reset(cx),
            None => self.respond.poll_reset(cx).map(body::reset_error),
        }
    }

    /// Resets the stream, because the response is incomplete.
    pub fn fail(&mut self) {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.fail(),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }

    /// Turns a stream whose WebSocket is open into a tunnel's byte stream. Returns None before
    /// that.
    pub fn into_bytes(self) -> Option<ByteStream> {
        let outgoing = self.outgoing?;
        Some(ByteStream::new(self.incoming, outgoing, None))
    }

    fn sink(&mut self) -> io::Result<&mut Outgoing> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        let outgoing = self.outgoing.as_mut();
        outgoing.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Source for Stream {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>> {
        if self.is_tunnel {
            return Poll::Ready(Ok(Progress::End));
        }
        self.incoming.poll(cx)
    }

    fn data(&self) -> &[u8] {
        self.incoming.data()
    }

    fn is_final(&self) -> bool {
        self.incoming.is_final()
    }

    fn consume_data(&mut self, count: usize) {
        self.incoming.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.incoming.trailers()
    }
}

impl Sink for Stream {
    fn poll_write(
        &mut self,
        data: &[u8],
        is_final: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.sink()?.poll_write(data, is_final, cx)
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task flushes; only a pending error is reported here.
        match self.error.take() {
            Some(error) => Poll::Ready(Err(error.into())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()> {
        self.sink()?.end(trailers, head)
    }
}
