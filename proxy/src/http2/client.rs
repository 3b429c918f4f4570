//! HTTP/2 with a server: a connection shared by several requests, and their streams.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use thiserror::Error;
use tokio::time::Instant;

use super::body::{Incoming, Outgoing};
use super::budget::{Budget, Violation};
use super::head::{self, Rest};
use super::io::{Watch, WatchedIo};
use super::shared::{Shared, Used};
use super::{
    ByteStream, CONNECTION_WINDOW, FRAME_SIZE, Http2Error, Opaque, SEND_BUFFER, STREAM_WINDOW,
    Settings,
};
use crate::http::fields::Fields;
use crate::http::message::{MethodKind, RequestHead, ResponseHead, Scheme, Version};
use crate::http1::Limits;
use crate::http1::body::BodyLength;
use crate::http1::response::{Parsed as ResponseFraming, ResponseError};
use crate::http1::write::OutgoingRequest;
use crate::timer::{Stall, Timer};
use crate::transport::io::Io;
use crate::wire::{BodyError, Progress, Sink, Source};

/// A connection to a server.
pub struct Connection {
    send: SendRequest<Bytes>,
    shared: Rc<Shared>,
    max_streams: usize,
    scheme: Scheme,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Connection").fmt(f)
    }
}

/// Drives the I/O of a connection until it ends. Must be spawned.
pub struct Driver {
    h2: client::Connection<WatchedIo, Bytes>,
    shared: Rc<Shared>,
    stall: Stall,
    timer: Timer,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Driver").fmt(f)
    }
}

impl Future for Driver {
    /// The server's violation that ended the connection, if any.
    type Output = Option<Violation>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Violation>> {
        let this = &mut *self;
        let is_over = pin!(&mut this.h2).poll(cx).is_ready();
        let violation = this.shared.watch.violation();
        // Output waits and nothing moves: the server no longer reads, not even responses to its own
        // PINGs.
        let is_stuck = this.shared.watch.is_blocked() && {
            let moved = this.shared.watch.moved();
            this.stall.poll(&mut this.timer, moved, cx).is_ready()
        };
        if is_over || is_stuck || violation.is_some() {
            return Poll::Ready(violation);
        }
        if !this.shared.watch.is_blocked() {
            this.stall.restart();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.has_ended.set(true);
    }
}

/// Reason why a request was not sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// The connection accepts no further requests.
    #[error("the connection accepts no further requests")]
    Connection(#[source] Http2Error),
    /// The head cannot be expressed in HTTP/2.
    #[error("the request cannot be sent over HTTP/2")]
    Head,
    /// The server has not announced support for extended CONNECT (RFC 8441).
    #[error("the server does not support WebSockets over HTTP/2")]
    NoWebSockets,
}

/// Reason why there is no response.
#[derive(Debug, Error)]
pub enum ResponseFailure {
    /// The stream or the connection has failed.
    #[error(transparent)]
    Stream(Http2Error),
    /// The response is not valid HTTP.
    #[error(transparent)]
    Invalid(ResponseError),
}

impl Connection {
    /// Starts HTTP/2 on a new connection. `scheme` says whether the connection uses TLS.
    ///
    /// Waits for the server's settings, which say how many concurrent requests the server accepts,
    /// and whether it accepts WebSockets. A server that reads nothing for `stall` is considered
    /// gone.
    ///
    /// # Errors
    /// [`Http2Error`].
    ///
    /// # Cancel safety
    /// Dropping it closes the connection.
    pub async fn connect(
        io: Io,
        settings: &Settings,
        scheme: Scheme,
        stall: Duration,
    ) -> Result<(Connection, Driver), Http2Error> {
        let now = Instant::now();
        let watch = Watch::new(Budget::of_server(now));
        let (send, mut h2) = client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_SIZE)
            .max_header_list_size(settings.max_header_size)
            .max_send_buffer_size(SEND_BUFFER)
            .enable_push(false)
            .handshake(WatchedIo::new(io, &watch))
            .await?;
        poll_fn(|cx| {
            let polled = pin!(&mut h2).poll(cx);
            if watch.has_frame() && polled.is_pending() {
                return Poll::Ready(Ok(()));
            }
            polled.map(|ended| Err(ended.err().unwrap_or_else(|| h2::Reason::NO_ERROR.into())))
        })
        .await?;
        let shared = Rc::new(Shared::new(watch, now));
        let driver = Driver {
            h2,
            shared: Rc::clone(&shared),
            stall: Stall::new(stall, 0),
            timer: Timer::default(),
        };
        let connection = Connection {
            send,
            shared,
            max_streams: usize::try_from(settings.max_concurrent_streams).unwrap_or(usize::MAX),
            scheme,
        };
        Ok((connection, driver))
    }

    /// Returns whether another request can be sent at once.
    pub fn has_room(&mut self) -> bool {
        let max = self.max_streams.min(self.send.current_max_send_streams());
        let max = max.min(self.shared.limit.get());
        self.is_open() && self.shared.active.get() < max
    }

    /// Returns whether the connection accepts further requests: it is open, it is not considered
    /// dead, and the server has not sent GOAWAY.
    pub fn is_open(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        !self.shared.has_ended.get()
            && !matches!(self.send.poll_ready(&mut nobody), Poll::Ready(Err(_)))
    }

    /// Returns the number of requests that have a stream, or are about to get one.
    pub fn active(&self) -> usize {
        self.shared.active.get()
    }

    /// Returns when the last stream ended; None while one is open.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.shared.active.get() == 0).then(|| self.shared.idle_since.get())
    }

    /// Creates a stream for one exchange. Nothing has been sent on it yet.
    pub fn stream(&self) -> Stream {
        Stream {
            send: self.send.clone(),
            scheme: self.scheme,
            used: Used::new(&self.shared),
            response: None,
            incoming: Incoming::new(None),
            outgoing: None,
            heads: 0,
            is_tunnel: false,
            received_before: self.shared.watch.received(),
        }
    }
}

/// One request's stream.
pub struct Stream {
    send: SendRequest<Bytes>,
    scheme: Scheme,
    used: Used,
    /// The pending response. None before the request's head is sent and after the response's head
    /// has arrived.
    response: Option<ResponseFuture>,
    incoming: Incoming,
    outgoing: Option<Outgoing>,
    heads: u64,
    /// `true` if the stream becomes a tunnel once the server agrees.
    is_tunnel: bool,
    /// Number of bytes that had been received on the connection before the request.
    received_before: u64,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Opaque("Stream").fmt(f)
    }
}

impl Stream {
    /// Sends the head of a request.
    ///
    /// # Errors
    /// [`SendError`]: nothing was sent.
    pub fn send(
        &mut self,
        head: &RequestHead,
        with: &OutgoingRequest<'_>,
        is_websocket: bool,
    ) -> Result<(), SendError> {
        if is_websocket && !self.send.is_extended_connect_protocol_enabled() {
            return Err(SendError::NoWebSockets);
        }
        let request = head::outgoing_request(head, with, self.scheme, is_websocket);
        let request = request.ok_or(SendError::Head)?;
        // A message that arrived over HTTP/2 can have trailers even if its body is empty, so the
        // stream ends only where the client's stream ended.
        let is_open = head.version() == Version::Http2 && with.body != BodyLength::None;
        let is_end = with.body.is_empty() && !is_open && !is_websocket;
        let sent = self.send.send_request(request, is_end);
        let (response, outgoing) =
            sent.map_err(|error| SendError::Connection(Http2Error(error)))?;
        self.is_tunnel = is_websocket;
        self.response = Some(response);
        self.outgoing = Some(Outgoing::new(outgoing, is_end));
        Ok(())
    }

    /// Reads the next response head, interim or final.
    ///
    /// # Errors
    /// [`ResponseFailure`].
    pub fn poll_head(
        &mut self,
        limits: &Limits,
        method: MethodKind,
        head: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseFraming, ResponseFailure>> {
        let Some(response) = &mut self.response else {
            return Poll::Pending;
        };
        let interim = match response.poll_informational(cx) {
            Poll::Ready(Some(interim)) => Some(interim),
            Poll::Ready(None) | Poll::Pending => None,
        };
        let (parts, rest) = if let Some(interim) = interim {
            let interim = interim.map_err(|error| ResponseFailure::Stream(error.into()))?;
            (interim.into_parts().0, Rest::None)
        } else {
            let response = ready!(Pin::new(response).poll(cx));
            let response = response.map_err(|error| ResponseFailure::Stream(error.into()))?;
            let (parts, stream) = response.into_parts();
            let is_end = stream.is_end_stream();
            self.incoming = Incoming::new(Some(stream));
            self.response = None;
            (parts, if is_end { Rest::None } else { Rest::Follows })
        };
        self.heads += 1;
        let framing = head::response(&parts, rest, limits, method, head);
        Poll::Ready(framing.map_err(ResponseFailure::Invalid))
    }

    /// Records that the server refused this stream, so it accepts fewer concurrent requests than it
    /// announced.
    pub fn note_refusal(&self) {
        self.used.note_refusal();
    }

    /// Marks the response as overdue. If the server has sent nothing on any stream since the
    /// request, the connection is considered dead and gets no further requests.
    pub fn give_up(&self) {
        self.used.give_up_if_silent_since(self.received_before);
    }

    /// Returns a counter that grows with every head and every byte of either body.
    pub fn moved(&self) -> u64 {
        let sent = self.outgoing.as_ref().map_or(0, Outgoing::sent);
        self.heads + self.incoming.received() + sent
    }

    /// Returns whether the whole response has been read.
    pub fn is_body_complete(&self) -> bool {
        self.incoming.is_complete()
    }

    /// Turns a stream whose WebSocket the server has opened into a tunnel's byte stream. Returns
    /// None if no request has been sent.
    pub fn into_bytes(self) -> Option<ByteStream> {
        let outgoing = self.outgoing?;
        Some(ByteStream::new(self.incoming, outgoing, Some(self.used)))
    }

    fn sink(&mut self) -> io::Result<&mut Outgoing> {
        let outgoing = self.outgoing.as_mut();
        outgoing.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Source for Stream {
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Progress, BodyError>> {
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
        // The connection's task flushes.
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, trailers: Option<&Fields>, head: &Fields) -> io::Result<()> {
        if self.is_tunnel {
            // The request has no body to end.
            return Ok(());
        }
        self.sink()?.end(trailers, head)
    }
}
