//! HTTP/2 with a client: one task for the connection, and one for each request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::Connection;
use super::response::{download_end, record_status};
use super::tunnel::TunnelTask;
use crate::frontend::Rules;
use crate::http::message::MethodKind;
use crate::http1::body::BodyLength;
use crate::http1::response::Parsed as Response;
use crate::http1::write::{ConnectionOption, OutgoingResponse};
use crate::http2::Settings;
use crate::http2::server::{Connection as Http2, Opened, Stream};
use crate::request::context::Context;
use crate::request::error::ProxyError;
use crate::request::exchange::Exchange;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::{self, Outcome, RequestPosition};
use crate::shutdown::ConnectionGuard;
use crate::telemetry::{End, chain};
use crate::timer::{Stall, Timer};
use crate::transport::io::Io;
use crate::upstream::PrivateConnections;
use crate::wire::{Relay, Sink as _};

/// Maximum time for a client to close the connection after GOAWAY.
const MAX_GOODBYE: Duration = Duration::from_secs(1);

/// Maximum wait for the end of a request's body after the response.
const MAX_LATE_END: Duration = Duration::from_secs(5);

/// Serves one connection from the client's preface to its end.
///
/// # Cancel safety
/// Dropping it closes the connection and thereby ends its requests.
pub async fn serve(mut connection: Connection, io: Io, guard: ConnectionGuard) {
    connection.note_destination(&io);
    let connection = Rc::new(connection);
    let rules = connection.frontend.rules();
    let limit = rules.config.timeouts.request_header;
    let settings = settings(&rules);
    let accepting = timeout(limit, Http2::accept(io, &settings));
    let stopping = async {
        connection.shutdown.begun().await;
        if let Some(deadline) = connection.shutdown.drain_deadline() {
            sleep_until(deadline).await;
        }
    };
    let accepted = tokio::select! {
        accepted = accepting => accepted,
        () = stopping => return,
    };
    let Ok(Ok(mut http2)) = accepted else {
        return;
    };
    let mut waits = Waits::new(&rules, http2.moved());
    let mut stopping = pin!(connection.shutdown.begun());
    let mut position = RequestPosition::First;
    loop {
        let event = poll_fn(|task| waits.poll(&mut http2, &connection, stopping.as_mut(), task));
        let Event::Opened(opened) = event.await else {
            break;
        };
        let connection = Rc::clone(&connection);
        // Boxed, because a task is moved several times before it reaches its final place.
        tokio::task::spawn_local(Box::pin(connection.serve_stream(*opened, position)));
        position = RequestPosition::Later;
    }
    if let Some(violation) = http2.violation() {
        tracing::debug!(
            frontend = &*connection.frontend.name,
            peer = &*connection.facts.peer.address,
            ?violation,
            "HTTP/2 connection closed: the client violated the protocol"
        );
        http2.refuse(violation);
        // The client may not read the GOAWAY either.
        let _ = timeout(MAX_GOODBYE, http2.closed()).await;
    }
    drop(guard);
}

fn settings(rules: &Rules) -> Settings {
    let max_header_size = rules.config.limits.head.max_header_size;
    Settings {
        max_concurrent_streams: rules.config.http.max_concurrent_streams,
        max_header_size: u32::try_from(max_header_size).unwrap_or(u32::MAX),
    }
}

enum Event {
    /// The client has opened a stream.
    Opened(Box<Opened>),
    /// The connection has ended, or must be closed.
    Ended,
}

/// The timeouts of a connection, except those of its requests.
struct Waits {
    /// Timeout for the first request.
    first: Duration,
    /// Timeout for each further request.
    keep_alive: Duration,
    has_served: bool,
    /// Time since which no stream has been open.
    idle_since: Option<Instant>,
    /// Time at which the proxy closes the connection if the client has not closed it after GOAWAY.
    goodbye: Option<Instant>,
    is_draining: bool,
    /// Runs while output waits because the client does not read.
    stall: Stall,
    timer: Timer,
}

impl Waits {
    fn new(rules: &Rules, moved: u64) -> Waits {
        let timeouts = &rules.config.timeouts;
        Waits {
            first: timeouts.request_header,
            keep_alive: timeouts.keep_alive,
            has_served: false,
            idle_since: None,
            goodbye: None,
            is_draining: false,
            stall: Stall::new(timeouts.client, moved),
            timer: Timer::default(),
        }
    }

    fn poll(
        &mut self,
        http2: &mut Http2,
        connection: &Connection,
        stopping: Pin<&mut impl Future<Output = ()>>,
        task: &mut Task<'_>,
    ) -> Poll<Event> {
        match http2.poll_accept(task) {
            Poll::Ready(Some(Ok(opened))) => {
                self.has_served = true;
                self.idle_since = None;
                return Poll::Ready(Event::Opened(Box::new(opened)));
            }
            Poll::Ready(_) => return Poll::Ready(Event::Ended),
            Poll::Pending => {}
        }
        if http2.violation().is_some() {
            return Poll::Ready(Event::Ended);
        }
        if !self.is_draining {
            // Polled to wake this task when the worker stops.
            let is_stopping = stopping.poll(task).is_ready();
            if is_stopping || connection.shutdown.drain_deadline().is_some() {
                self.drain(http2, task);
            }
        }
        let is_over = self.poll_idle(http2, task) || self.poll_stalled(http2, task);
        if is_over {
            Poll::Ready(Event::Ended)
        } else {
            Poll::Pending
        }
    }

    fn drain(&mut self, http2: &mut Http2, task: &mut Task<'_>) {
        self.is_draining = true;
        http2.drain();
        // The next poll sends the queued GOAWAY.
        task.waker().wake_by_ref();
    }

    /// Returns whether a connection without streams must be closed. Starts to drain a connection
    /// that has been idle for too long.
    fn poll_idle(&mut self, http2: &mut Http2, task: &mut Task<'_>) -> bool {
        if http2.has_streams() {
            self.idle_since = None;
            self.goodbye = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if self.is_draining {
            let goodbye = *self
                .goodbye
                .get_or_insert_with(|| Instant::now() + MAX_GOODBYE);
            return self.timer.poll_until(goodbye, task).is_ready();
        }
        let limit = if self.has_served {
            self.keep_alive
        } else {
            self.first
        };
        if self.timer.poll_until(since + limit, task).is_ready() {
            self.drain(http2, task);
        }
        false
    }

    /// Returns whether output has waited for `timeout.client` without a byte moving in either
    /// direction.
    fn poll_stalled(&mut self, http2: &Http2, task: &mut Task<'_>) -> bool {
        if http2.is_blocked() {
            let moved = http2.moved();
            return self.stall.poll(&mut self.timer, moved, task).is_ready();
        }
        self.stall.restart();
        false
    }
}

impl Connection {
    async fn serve_stream(self: Rc<Self>, opened: Opened, position: RequestPosition) {
        let started = Instant::now();
        let rules = self.frontend.rules();
        let limits = rules.config.limits.head.into();
        let mut head = self.resources.request_head();
        let read = opened.read(&limits, &mut head);
        let mut stream = opened.into_stream();
        stream.limit_body(rules.config.limits.max_body);
        let id = self.frontend.next_id();
        let record = Record::new(id, started, started);
        let mut cx = Context::new(Rc::clone(&self.facts), rules, head, record);
        let request = match read {
            Ok(request) => request,
            Err(error) => {
                let reply = Reply::refusal(&mut cx, &ProxyError::Head(error));
                self.send(&mut cx, stream, &reply).await;
                return self.finish(cx);
            }
        };
        if request.upgrade.is_some() {
            stream.expect_tunnel();
        }
        let mut private = PrivateConnections::default();
        let response_head = self.resources.response_head();
        let outcome = request::handle(
            &mut cx,
            stream,
            &request,
            response_head,
            position,
            &self.frontend,
            &mut private,
        );
        let answered = match outcome.await {
            Outcome::Reply(reply, stream) => self.send(&mut cx, stream, &reply).await,
            Outcome::Response(exchange, response) => {
                self.pass(&mut cx, exchange, response, &mut private).await
            }
            Outcome::Gone => None,
            Outcome::Switch(exchange) => return self.open_websocket(cx, exchange).await,
        };
        self.finish(cx);
        if let Some(mut stream) = answered.filter(|stream| !stream.is_body_complete()) {
            let end = poll_fn(|task| stream.poll_late_end(request.body, task));
            let _ = timeout(MAX_LATE_END, end).await;
        }
    }

    /// Forwards a server's response. Returns the stream if all of it was sent.
    async fn pass(
        &self,
        cx: &mut Context,
        mut exchange: Exchange<Stream>,
        response: Response,
        private: &mut PrivateConnections,
    ) -> Option<Box<Stream>> {
        record_status(cx, exchange.head.status());
        // A message that arrived over HTTP/2 can have trailers even if its body is empty.
        let length = match response.body {
            BodyLength::Known(0) if exchange.is_with_http2_server() => BodyLength::Chunked,
            length => length,
        };
        self.resources.with_date(|date| {
            let with = OutgoingResponse {
                body: response.declared,
                connection: ConnectionOption::Implied,
                date: Some(date),
                edits: cx.response_edits(),
            };
            exchange.push_head(&with, length);
        });
        let mut download = Relay::default();
        let fields = cx.head.fields();
        let result = poll_fn(|task| exchange.poll_download(&mut download, fields, task)).await;
        cx.record.bytes_in = exchange.uploaded();
        cx.record.bytes_out = download.moved();
        match result {
            Ok(()) => {
                cx.record.finish(End::Ok);
                let (stream, head) = exchange.finish(fields, private, Instant::now());
                self.resources.put_response_head(head);
                Some(stream)
            }
            Err(error) => {
                exchange.client().fail();
                cx.record.fail(download_end(&error), || chain(&error));
                None
            }
        }
    }

    /// Sends a local reply. Returns the stream if all of it was sent.
    async fn send(
        &self,
        cx: &mut Context,
        mut stream: Box<Stream>,
        reply: &Reply,
    ) -> Option<Box<Stream>> {
        record_status(cx, reply.head.status());
        let with_body = cx.head.method_kind() != MethodKind::Head;
        let body = if with_body {
            reply.length()
        } else {
            BodyLength::None
        };
        self.resources.with_date(|date| {
            let with = OutgoingResponse {
                body: reply.length(),
                connection: ConnectionOption::Implied,
                date: Some(date),
                edits: cx.response_edits(),
            };
            stream.push_head(&reply.head, &with, body);
        });
        let mut rest = &reply.body[..];
        if body.is_empty() {
            rest = &[];
        }
        cx.record.bytes_out = rest.len() as u64;
        let client = cx.rules.config.timeouts.client;
        let mut stall = Stall::new(client, stream.moved());
        let sent = poll_fn(|task| {
            while !rest.is_empty() {
                match stream.poll_write(rest, true, task) {
                    Poll::Ready(Ok(count)) => rest = &rest[count..],
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err((End::ClientClosed, error.to_string())));
                    }
                    Poll::Pending => {
                        let moved = stream.moved();
                        let stalled = stall.poll(stream.timer(), moved, task);
                        let reason = "the client stopped reading".to_owned();
                        return stalled.map(|()| Err((End::ClientTimeout, reason)));
                    }
                }
            }
            Poll::Ready(Ok(()))
        });
        if let Err((end, reason)) = sent.await {
            stream.fail();
            cx.record.fail(end, || reason);
            return None;
        }
        Some(stream)
    }

    /// Confirms that the WebSocket is open, and joins both streams into a tunnel.
    async fn open_websocket(&self, mut cx: Context, exchange: Exchange<Stream>) {
        record_status(&mut cx, 200);
        let (mut client, lease, head) = exchange.into_parts();
        client.push_accepted(&head, cx.response_edits());
        let Some(client) = client.into_bytes() else {
            cx.record.finish(End::ClientClosed);
            return self.finish(cx);
        };
        let client = crate::tunnel::End::Http2(Box::new(client));
        if let Some((tunnel, record)) = self.tunnel(cx, (client, Box::default()), lease) {
            TunnelTask::new(tunnel, record, None).await;
        }
    }

    /// Logs a finished request and returns its head to the pool.
    fn finish(&self, mut cx: Context) {
        cx.default_end = End::Ok;
        let head = cx.log();
        self.resources.put_request_head(head);
    }
}
