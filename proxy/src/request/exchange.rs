//! One exchange with a server: sends the request, receives the response's head, and forwards both
//! bodies.
//!
//! An exchange owns both connections while it lasts. The bodies move independently: a response that
//! arrives before the request is complete is forwarded while the rest of the request is still being
//! sent. Each side's timeout runs only while the exchange waits for that side. The timeout counts
//! from the start of that wait, or from the last byte in either direction on that side, whichever
//! is later. Called by `request` for the head and by the client's protocol for the response's body.

use std::io;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::authentication;
use super::client::Client;
use crate::http::fields::Fields;
use crate::http::message::{MethodKind, ResponseHead, Version};
use crate::http1::body::BodyLength;
use crate::http1::request::Expectation;
use crate::http1::response::{self, Parsed as Response, ResponseError};
use crate::http1::write::OutgoingResponse;
use crate::http1::{Limits, Persistence, Progress};
use crate::http2::Http2Error;
use crate::http2::client::{ResponseFailure, SendError};
use crate::timer::Stall;
use crate::upstream::{Failure, Lease, Origin, PrivateConnections, ServerStream};
use crate::wire::{BodyError, Relay, RelayError, Side};

/// How long to wait for a response to `Expect: 100-continue` before the body is sent anyway: a
/// server need not respond to it (RFC 9110, section 10.1.1).
const MAX_CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Reason why there is no response.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The connection ended before any part of the request was written.
    #[error("the connection was closed before the request was sent")]
    Unsent,
    /// The connection ended before any byte of the response arrived.
    #[error("the server closed the connection without a response")]
    Closed(#[source] Option<io::Error>),
    /// The connection ended within the response's head.
    #[error("the server closed the connection in the middle of the response head")]
    Incomplete(#[source] Option<io::Error>),
    /// A 408 on a connection that has served before. It reports that the connection was idle for
    /// too long, and is no response to this request.
    #[error("the server closed the idle connection")]
    IdleTimeout,
    /// The server states that it has not processed the request.
    #[error("the server did not process the request")]
    Refused(#[source] Http2Error),
    /// The server reset the stream.
    #[error("the server reset the request")]
    Reset(#[source] Http2Error),
    /// The request cannot be sent to this server.
    #[error("the request cannot be sent")]
    Unsendable(#[source] SendError),
    /// The response's head is not valid HTTP.
    #[error("the server's response is not valid HTTP")]
    Invalid(#[source] ResponseError),
    /// The interim responses exceed [`Client::MAX_INTERIM_BYTES`].
    #[error("the server sent too many interim responses")]
    Interim,
    /// Nothing moved for `timeout.server`.
    #[error("the server was silent for too long")]
    ServerTimeout,
    /// Nothing moved for `timeout.client`.
    #[error("the client stopped in the middle of its body")]
    ClientTimeout,
    /// The client's body is incomplete or framed incorrectly.
    #[error("the client's body cannot be read")]
    ClientBody(#[source] BodyError),
    /// The client's body is larger than `max_body`.
    #[error("the body is larger than the limit of {0} bytes")]
    BodyTooLarge(u64),
    /// The client is gone.
    #[error("the client closed the connection")]
    ClientGone(#[source] Option<io::Error>),
}

impl ExchangeError {
    /// Returns how the server has failed, if it has.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            ExchangeError::Closed(_) | ExchangeError::Reset(_) => Some(Failure::Reset),
            ExchangeError::ServerTimeout => Some(Failure::Timeout),
            _ => None,
        }
    }
}

/// Reason why a response's body was not forwarded completely.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The server's body is incomplete or framed incorrectly.
    #[error("the server's body cannot be read")]
    Server(#[source] BodyError),
    /// Nothing moved for `timeout.server`.
    #[error("the server stopped in the middle of its body")]
    ServerTimeout,
    /// The request's body is incomplete or framed incorrectly.
    #[error("the client's body cannot be read")]
    ClientBody(#[source] BodyError),
    /// The request's body is larger than `max_body`.
    #[error("the body is larger than the limit of {0} bytes")]
    BodyTooLarge(u64),
    /// Nothing moved for `timeout.client`.
    #[error("the client stopped reading or sending")]
    ClientTimeout,
    /// The client is gone.
    #[error("the client closed the connection")]
    ClientGone(#[source] Option<io::Error>),
}

/// Timeouts and size limits of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeLimits {
    /// `timeout.client`.
    pub client: Duration,
    /// `timeout.client_fin`.
    pub client_fin: Duration,
    /// `timeout.server`.
    pub server: Duration,
    /// Limits on the response's head.
    pub head: Limits,
}

/// Facts about the request that the exchange needs.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The request's method.
    pub method: MethodKind,
    /// The client's version.
    pub version: Version,
    /// Framing of the request's body, on both sides.
    pub body: BodyLength,
    /// Whether the body waits for the server's 100.
    pub expectation: Expectation,
}

/// State of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// Held back until the server sends 100 (Continue), or until this time.
    Held(Instant),
    Moving,
    Complete,
    /// The server accepts no more.
    Refused,
}

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange<C> {
    /// Boxed, because it is moved from stage to stage.
    client: Box<C>,
    lease: Lease,
    sent: Sent,
    upload: Upload,
    relay: Relay,
    /// Number of bytes written to the server's connection before this exchange.
    written_before: u64,
    read_before: u64,
    interim_bytes: usize,
    limits: ExchangeLimits,
    client_stall: Stall,
    server_stall: Stall,
    /// The response's head, once it has arrived.
    pub head: ResponseHead,
}

impl<C: Client> Exchange<C> {
    /// Starts an exchange whose request head has been sent, or queued on the lease's connection.
    pub fn new(
        client: Box<C>,
        mut lease: Lease,
        sent: Sent,
        limits: ExchangeLimits,
        head: ResponseHead,
    ) -> Exchange<C> {
        let upload = match sent.expectation {
            Expectation::Continue => Upload::Held(Instant::now() + MAX_CONTINUE_WAIT),
            Expectation::None => Upload::Moving,
        };
        let (mut read_before, mut written_before) = (0, 0);
        if let ServerStream::Http1(connection) = &mut lease.stream {
            connection.wire.begin_outgoing(sent.body);
            written_before = connection.wire.io.written();
            read_before = connection.wire.io.read();
        }
        Exchange {
            upload,
            relay: Relay::default(),
            written_before,
            read_before,
            interim_bytes: 0,
            client_stall: Stall::new(limits.client, client.moved()),
            server_stall: Stall::new(limits.server, lease.stream.moved()),
            limits,
            client,
            lease,
            sent,
            head,
        }
    }

    /// Returns the client's connection and the lease, after the exchange has failed or switched
    /// protocols.
    pub fn into_parts(self) -> (Box<C>, Lease, ResponseHead) {
        (self.client, self.lease, self.head)
    }

    /// Returns whether the client's body is still unused, so that a failed exchange can be
    /// repeated.
    pub fn is_body_untouched(&self) -> bool {
        self.relay.moved() == 0
    }

    /// Returns how many bytes of the request's body the server's connection has accepted.
    pub fn uploaded(&self) -> u64 {
        self.relay.moved()
    }

    /// Returns whether the whole request has been sent.
    pub fn is_upload_complete(&self) -> bool {
        self.upload == Upload::Complete
    }

    /// Returns the client's connection.
    pub fn client(&mut self) -> &mut C {
        &mut self.client
    }

    /// Queues the head of the response for the client. `body` is the length of the response's body.
    pub fn push_head(&mut self, with: &OutgoingResponse<'_>, body: BodyLength) {
        self.client.push_head(&self.head, with, body);
    }

    /// Returns whether the server speaks HTTP/2.
    pub fn is_with_http2_server(&self) -> bool {
        matches!(self.lease.stream, ServerStream::Http2(_))
    }

    /// Returns the lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Returns the lease mutably, to record the result.
    pub fn lease_mut(&mut self) -> &mut Lease {
        &mut self.lease
    }

    /// Sends the request and waits for the head of the final response.
    ///
    /// `fields` are those of the request.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub fn poll_head(
        &mut self,
        fields: &Fields,
        task: &mut Task<'_>,
    ) -> Poll<Result<Response, ExchangeError>> {
        self.poll_upload(fields, task)?;
        loop {
            // Queued interim responses are sent first, so that no more are read than the client
            // accepts.
            if !self.client.is_flushed() {
                match self.client.poll_flush(task) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(ExchangeError::ClientGone(Some(error))));
                    }
                    Poll::Pending => break,
                }
            }
            match self.poll_response(task) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(response)) if !self.head.is_interim() => {
                    return Poll::Ready(self.accept(response));
                }
                Poll::Ready(Ok(response)) => {
                    self.take_interim(response.consumed)?;
                    self.poll_upload(fields, task)?;
                }
                Poll::Pending => break,
            }
        }
        match ready!(self.poll_peers(None, task)) {
            Expired::Server => {
                self.lease.stream.give_up();
                Poll::Ready(Err(ExchangeError::ServerTimeout))
            }
            Expired::Client => Poll::Ready(Err(ExchangeError::ClientTimeout)),
            Expired::Gone(error) => Poll::Ready(Err(ExchangeError::ClientGone(error))),
        }
    }

    /// Reads the next response head, interim or final.
    #[inline]
    fn poll_response(&mut self, task: &mut Task<'_>) -> Poll<Result<Response, ExchangeError>> {
        let ServerStream::Http1(connection) = &mut self.lease.stream else {
            return self.poll_http2_response(task);
        };
        let wire = &mut connection.wire;
        loop {
            let mut scan = wire.scan;
            let (method, head) = (self.sent.method, &mut self.head);
            let parsed = response::parse(wire.input(), &self.limits.head, &mut scan, method, head);
            wire.scan = scan;
            match parsed {
                Ok(Progress::Complete(response)) => return Poll::Ready(Ok(response)),
                Ok(Progress::Partial { skip }) => {
                    wire.consume_input(skip);
                    // Empty lines count toward the limit on interim responses.
                    count_interim::<C>(&mut self.interim_bytes, skip)?;
                }
                Err(error) => return Poll::Ready(Err(ExchangeError::Invalid(error))),
            }
            let error = match ready!(wire.poll_fill(self.limits.head.max_header_size, task)) {
                Ok(0) => None,
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            let io = &wire.io;
            return Poll::Ready(Err(if io.read() > self.read_before {
                ExchangeError::Incomplete(error)
            } else if io.written() == self.written_before {
                ExchangeError::Unsent
            } else {
                ExchangeError::Closed(error)
            }));
        }
    }

    fn poll_http2_response(
        &mut self,
        task: &mut Task<'_>,
    ) -> Poll<Result<Response, ExchangeError>> {
        let ServerStream::Http2(stream) = &mut self.lease.stream else {
            return Poll::Pending;
        };
        let (limits, method) = (&self.limits.head, self.sent.method);
        let polled = stream.poll_head(limits, method, &mut self.head, task);
        polled.map_err(|failure| match failure {
            ResponseFailure::Invalid(error) => ExchangeError::Invalid(error),
            ResponseFailure::Stream(error) if error.is_unprocessed() => {
                if error.is_refused() {
                    stream.note_refusal();
                }
                ExchangeError::Refused(error)
            }
            ResponseFailure::Stream(error) if error.is_of_connection() => {
                ExchangeError::Closed(Some(error.into()))
            }
            ResponseFailure::Stream(error) => ExchangeError::Reset(error),
        })
    }

    fn accept(&mut self, response: Response) -> Result<Response, ExchangeError> {
        if self.head.status() == 408 && self.is_idle_timeout(response) {
            return Err(ExchangeError::IdleTimeout);
        }
        if matches!(self.upload, Upload::Held(_)) {
            // Nothing can be sent between a final response and its body, not even the 100 that the
            // client waits for.
            self.upload = Upload::Refused;
        }
        if let ServerStream::Http1(connection) = &mut self.lease.stream {
            connection.wire.consume_input(response.consumed);
            if self.head.status() != 101 {
                connection.wire.begin_body(response.body);
            }
            if response.persistence == Persistence::Close {
                connection.disable_reuse();
            }
        }
        Ok(response)
    }

    /// Returns whether a 408 refers to an idle connection instead of this request. The connection
    /// must have served before. Either nothing or all of the body must have been sent, so that the
    /// 408 cannot refer to a slow body.
    fn is_idle_timeout(&self, response: Response) -> bool {
        self.lease.origin == Origin::Pooled
            && response.persistence == Persistence::Close
            && (self.is_body_untouched() || self.upload == Upload::Complete)
    }

    /// Forwards an interim response, and releases a body that waits for a 100.
    fn take_interim(&mut self, length: usize) -> Result<(), ExchangeError> {
        match &mut self.lease.stream {
            ServerStream::Http1(connection) => connection.wire.consume_input(length),
            ServerStream::Http2(_) => {
                count_interim::<C>(
                    &mut self.interim_bytes,
                    self.head.fields().bytes().len() + 1,
                )?;
            }
        }
        count_interim::<C>(&mut self.interim_bytes, length)?;
        let is_continue = self.head.status() == 100;
        let is_answered = is_continue
            && self.sent.expectation == Expectation::Continue
            && !matches!(self.upload, Upload::Held(_));
        if is_continue && matches!(self.upload, Upload::Held(_)) {
            self.upload = Upload::Moving;
        }
        // HTTP/1.0 has no interim responses (RFC 9110, section 15.2), and a client whose body is no
        // longer held back needs no 100.
        if self.sent.version != Version::Http10 && !is_answered {
            self.client.push_interim(&self.head);
        }
        Ok(())
    }

    /// Sends as much of the request as is available.
    fn poll_upload(&mut self, fields: &Fields, task: &mut Task<'_>) -> Result<(), ExchangeError> {
        if let Upload::Held(until) = self.upload {
            // The head is sent at once. If that fails, the server's response, or the lack of one,
            // shows it.
            self.lease.stream.flush(task);
            // If the client sends its body anyway, it needs no 100.
            if !self.client.has_early_body(task) {
                if self.client.timer().poll_until(until, task).is_pending() {
                    return Ok(());
                }
                self.client.push_continue();
            }
            self.upload = Upload::Moving;
        }
        if self.upload != Upload::Moving {
            return Ok(());
        }
        let server = &mut self.lease.stream;
        match self.relay.poll(&mut *self.client, server, fields, task) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.upload = Upload::Complete,
            // The server may have responded before it closed the connection: reading finds that
            // out.
            Poll::Ready(Err(RelayError::Sink(_))) => self.upload = Upload::Refused,
            Poll::Ready(Err(RelayError::Source(error))) => {
                return Err(match error {
                    BodyError::TooLarge(limit) => ExchangeError::BodyTooLarge(limit),
                    error => ExchangeError::ClientBody(error),
                });
            }
        }
        Ok(())
    }

    /// Forwards the response's body to the client, and the rest of the request's body to the
    /// server. Ready when the client has the whole response.
    ///
    /// `fields` are those of the request.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub fn poll_download(
        &mut self,
        download: &mut Relay,
        fields: &Fields,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), DownloadError>> {
        if let Err(error) = self.poll_upload(fields, task) {
            return Poll::Ready(Err(match error {
                ExchangeError::ClientBody(error) => DownloadError::ClientBody(error),
                ExchangeError::BodyTooLarge(limit) => DownloadError::BodyTooLarge(limit),
                _ => DownloadError::ClientGone(None),
            }));
        }
        let server = &mut self.lease.stream;
        let polled = download.poll(server, &mut *self.client, self.head.fields(), task);
        if let Poll::Ready(result) = polled {
            return Poll::Ready(result.map_err(|error| match error {
                RelayError::Source(error) => DownloadError::Server(error),
                RelayError::Sink(error) => DownloadError::ClientGone(Some(error)),
            }));
        }
        let expired = ready!(self.poll_peers(Some(download.waits_for()), task));
        Poll::Ready(Err(match expired {
            Expired::Server => DownloadError::ServerTimeout,
            Expired::Client => DownloadError::ClientTimeout,
            Expired::Gone(error) => DownloadError::ClientGone(error),
        }))
    }

    /// Checks the timeouts of the side that the exchange waits for. `download` is the side that the
    /// response's body waits for, or None before the response's head has arrived.
    fn poll_peers(&mut self, download: Option<Side>, task: &mut Task<'_>) -> Poll<Expired> {
        let wants_body = self.upload == Upload::Moving && self.relay.waits_for() == Side::Source;
        let is_held = matches!(self.upload, Upload::Held(_));
        if !wants_body
            && let Poll::Ready(error) = self.client.poll_gone(self.limits.client_fin, task)
        {
            return Poll::Ready(Expired::Gone(error));
        }
        if is_held && self.client.has_early_body(task) {
            // The body has arrived without a 100: the next poll sends it.
            task.waker().wake_by_ref();
        }
        let is_clients_turn =
            wants_body || download == Some(Side::Sink) || !self.client.is_flushed();
        if is_clients_turn {
            let moved = self.client.moved();
            if self
                .client_stall
                .poll(self.client.timer(), moved, task)
                .is_ready()
            {
                return Poll::Ready(Expired::Client);
            }
        } else {
            self.client_stall.restart();
        }
        let is_servers_turn = !wants_body && !is_held && download != Some(Side::Sink);
        if is_servers_turn {
            let moved = self.lease.stream.moved();
            if self
                .server_stall
                .poll(self.client.timer(), moved, task)
                .is_ready()
            {
                return Poll::Ready(Expired::Server);
            }
        } else {
            self.server_stall.restart();
        }
        Poll::Pending
    }

    /// Ends a complete exchange. Releases the server's connection for reuse if possible, and
    /// returns the client's connection. A server connection that is authenticated for this client
    /// is put into `private`. `request` contains the request's fields.
    pub fn finish(
        mut self,
        request: &Fields,
        private: &mut PrivateConnections,
        now: Instant,
    ) -> (Box<C>, ResponseHead) {
        if self.upload != Upload::Complete {
            self.lease.stream.disable_reuse();
        }
        if authentication::binds(request, &self.head) {
            self.lease.stream.make_private();
        }
        if self.lease.stream.is_private() {
            private.put(self.lease);
        } else {
            self.lease.release(now);
        }
        (self.client, self.head)
    }
}

fn count_interim<C: Client>(counted: &mut usize, bytes: usize) -> Result<(), ExchangeError> {
    *counted += bytes;
    if *counted > C::MAX_INTERIM_BYTES {
        return Err(ExchangeError::Interim);
    }
    Ok(())
}

/// The side that has timed out.
enum Expired {
    Server,
    Client,
    /// The client has disconnected.
    Gone(Option<io::Error>),
}
