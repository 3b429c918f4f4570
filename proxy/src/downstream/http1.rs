//! HTTP/1.1 with a client: reads request heads, sends responses, and handles what follows the last
//! one.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use super::heads::{Head, HeadReader, Read};
use super::linger::{self, linger};
use super::response::{download_end, record_status};
use super::tunnel::TunnelTask;
use crate::http::message::{MethodKind, RequestHead, Version};
use crate::http1::Persistence;
use crate::http1::body::BodyLength;
use crate::http1::request::{Parsed as Request, RequestError};
use crate::http1::response::Parsed as Response;
use crate::http1::write::{self, ConnectionOption, OutgoingResponse};
use crate::request::context::Context;
use crate::request::error::ProxyError;
use crate::request::exchange::Exchange;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::{self, Outcome, RequestPosition};
use crate::shutdown::ConnectionGuard;
use crate::telemetry::{End, chain};
use crate::timer::Stall;
use crate::transport::io::{CloseMode, Io};
use crate::tunnel::{self, Tunnel};
use crate::upstream::PrivateConnections;
use crate::wire::{Relay, Source as _, Wire};

/// Serves one connection from its first byte to its last. A tunnel is handed over to its own task.
///
/// # Cancel safety
/// Dropping the future closes the connection and frees everything that it owns.
pub async fn serve(connection: Connection, io: Io, guard: ConnectionGuard) {
    let mut wire = Box::new(Wire::new(io, &connection.resources.buffers));
    let mut reader = HeadReader::new();
    let mut private = PrivateConnections::default();
    let end = loop {
        let next = match next_head(&connection, &mut reader, &mut wire).await {
            // Boxed, so that an idle connection reserves no memory for a request.
            Read::Request(head) => {
                let position = reader.position();
                Box::pin(connection.request(wire, *head, position, &mut private)).await
            }
            Read::Refused(error, head, started) => {
                let error = ProxyError::Head(error);
                Box::pin(connection.refuse(wire, error, head, started)).await
            }
            Read::TimedOut(started) => {
                let head = RequestHead::default();
                Box::pin(connection.refuse(wire, ProxyError::HeadTimeout, head, started)).await
            }
            Read::Closed => return,
        };
        match next {
            Next::Request(next, now) => {
                wire = next;
                reader.begin_next(now);
            }
            other => break other,
        }
    };
    match end {
        Next::Request(..) | Next::Close => {}
        Next::Linger(wire, limit) => {
            // Frees the permit for a client that has a request to send.
            drop(guard);
            let bytes = connection.frontend.rules().config.limits.max_discard;
            linger(&connection, wire, bytes, limit).await;
        }
        Next::Tunnel(tunnel, record) => {
            tokio::task::spawn_local(TunnelTask::new(*tunnel, record, Some(guard)));
        }
    }
}

/// The next step after a request.
enum Next {
    /// Wait for the next request.
    Request(Box<Wire>, Instant),
    Close,
    /// Read and discard for at most this long: the client may still be sending.
    Linger(Box<Wire>, Duration),
    Tunnel(Box<Tunnel>, Option<Box<Context>>),
}

async fn next_head(connection: &Connection, reader: &mut HeadReader, wire: &mut Wire) -> Read {
    let mut stopping = pin!(connection.shutdown.begun());
    let rules = connection.frontend.rules();
    let config = &rules.config;
    let limits = config.limits.head.into();
    poll_fn(|task| {
        let read = reader.poll(wire, &limits, &connection.resources, task);
        if read.is_ready() {
            return read;
        }
        wire.release_buffers();
        reader.release_buffers(&connection.resources);
        reader.poll_limit(
            wire,
            &config.timeouts,
            &connection.shutdown,
            stopping.as_mut(),
            task,
        )
    })
    .await
}

impl Connection {
    async fn request(
        &self,
        mut wire: Box<Wire>,
        head: Head,
        position: RequestPosition,
        private: &mut PrivateConnections,
    ) -> Next {
        let Head {
            request,
            fields: head,
            started,
            completed,
        } = head;
        let rules = self.frontend.rules();
        wire.begin_body(request.body);
        wire.limit_body(rules.config.limits.max_body);
        let id = self.frontend.next_id();
        let record = Record::new(id, started, completed);
        let rules = self.frontend.rules();
        let mut cx = Context::new(Rc::clone(&self.facts), rules, head, record);
        let response_head = self.resources.response_head();
        let outcome = request::handle(
            &mut cx,
            wire,
            &request,
            response_head,
            position,
            &self.frontend,
            private,
        )
        .await;
        let next = match outcome {
            Outcome::Reply(reply, wire) => self.reply(&mut cx, wire, &request, reply).await,
            Outcome::Response(exchange, response) => {
                self.respond(&mut cx, exchange, &request, response, private)
                    .await
            }
            Outcome::Gone => Next::Close,
            Outcome::Switch(exchange) => return self.switch(cx, exchange).await,
        };
        self.end(cx);
        next
    }

    /// Logs a finished request and returns its head to the pool.
    fn end(&self, mut cx: Context) {
        cx.default_end = End::Ok;
        let head = cx.log();
        self.resources.put_request_head(head);
    }

    /// Forwards a server's response.
    async fn respond(
        &self,
        cx: &mut Context,
        mut exchange: Exchange<Wire>,
        request: &Request,
        response: Response,
        private: &mut PrivateConnections,
    ) -> Next {
        let version = cx.head.version();
        let body = response.body.for_client(version);
        let is_last = request.persistence == Persistence::Close
            || self.shutdown.drain_deadline().is_some()
            // The proxy cannot find the start of the next request until this upload is complete.
            || !exchange.is_upload_complete()
            || exchange.client().is_exhausted()
            || body == BodyLength::UntilClose;
        let persistence = if is_last {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        };
        let status = exchange.head.status();
        record_status(cx, status);
        self.resources.with_date(|date| {
            let with = OutgoingResponse {
                body: response.declared.for_client(version),
                connection: ConnectionOption::for_client(version, persistence),
                date: Some(date),
                edits: cx.response_edits(),
            };
            exchange.push_head(&with, body);
        });
        if body == BodyLength::UntilClose {
            // Until the body is complete, a drop resets the connection: an orderly close would make
            // a partial body look complete.
            exchange.client().io.set_close_mode(CloseMode::Reset);
        }
        let mut download = Relay::default();
        let fields = cx.head.fields();
        let result = poll_fn(|task| exchange.poll_download(&mut download, fields, task)).await;
        cx.record.bytes_in = exchange.uploaded();
        cx.record.bytes_out = download.moved();
        match result {
            Ok(()) => {
                cx.record.finish(End::Ok);
                if body == BodyLength::UntilClose {
                    exchange.client().io.set_close_mode(CloseMode::Close);
                }
                let now = Instant::now();
                let (wire, head) = exchange.finish(fields, private, now);
                self.resources.put_response_head(head);
                after(wire, persistence, now)
            }
            Err(error) => {
                cx.record.fail(download_end(&error), || chain(&error));
                Next::Close
            }
        }
    }

    /// Sends a local reply.
    async fn reply(
        &self,
        cx: &mut Context,
        mut wire: Box<Wire>,
        request: &Request,
        reply: Reply,
    ) -> Next {
        skip_buffered_body(&mut wire);
        let is_last = request.persistence == Persistence::Close
            || reply.persistence == Persistence::Close
            || self.shutdown.drain_deadline().is_some()
            || !wire.is_body_complete();
        let persistence = if is_last {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        };
        let version = cx.head.version();
        let with_body = cx.head.method_kind() != MethodKind::Head;
        self.send_reply(cx, &mut wire, version, &reply, persistence, with_body)
            .await
            .map_or(Next::Close, |()| after(wire, persistence, Instant::now()))
    }

    /// Replies to a request whose head is invalid or did not arrive in time, and ends the
    /// connection.
    async fn refuse(
        &self,
        mut wire: Box<Wire>,
        error: ProxyError,
        head: RequestHead,
        started: Instant,
    ) -> Next {
        let id = self.frontend.next_id();
        let record = Record::new(id, started, Instant::now());
        let rules = self.frontend.rules();
        let mut cx = Context::new(Rc::clone(&self.facts), rules, head, record);
        let reply = Reply::refusal(&mut cx, &error);
        if matches!(error, ProxyError::Head(RequestError::Http2Preface)) {
            // An HTTP/2 client cannot read an HTTP/1.1 response.
            self.end(cx);
            return Next::Close;
        }
        let close = Persistence::Close;
        let sent = self
            .send_reply(&mut cx, &mut wire, Version::Http11, &reply, close, true)
            .await;
        self.end(cx);
        match sent {
            Some(()) => Next::Linger(wire, linger::MAX_REFUSED),
            None => Next::Close,
        }
    }

    /// Writes a local reply. Returns None if it could not be sent.
    async fn send_reply(
        &self,
        cx: &mut Context,
        wire: &mut Wire,
        version: Version,
        reply: &Reply,
        persistence: Persistence,
        with_body: bool,
    ) -> Option<()> {
        record_status(cx, reply.head.status());
        self.resources.with_date(|date| {
            let with = OutgoingResponse {
                body: reply.length(),
                connection: ConnectionOption::for_client(version, persistence),
                date: Some(date),
                edits: cx.response_edits(),
            };
            write::push_response(&reply.head, &with, wire.output());
        });
        if with_body && reply.length() != BodyLength::None {
            wire.output().extend_from_slice(&reply.body);
            cx.record.bytes_out = reply.body.len() as u64;
        }
        match flushed(wire, &cx.rules.config.timeouts).await {
            Ok(()) => Some(()),
            Err((end, reason)) => {
                cx.record.fail(end, || reason);
                None
            }
        }
    }

    /// Sends the 101 response and joins both connections into a tunnel.
    async fn switch(&self, mut cx: Context, mut exchange: Exchange<Wire>) -> Next {
        record_status(&mut cx, 101);
        let with = OutgoingResponse {
            body: BodyLength::None,
            connection: ConnectionOption::Implied,
            date: None,
            edits: cx.response_edits(),
        };
        exchange.push_head(&with, BodyLength::None);
        let sent = flushed(exchange.client(), &cx.rules.config.timeouts).await;
        if let Err((end, reason)) = sent {
            cx.record.fail(end, || reason);
            return Next::Close;
        }
        let (client, lease, _) = exchange.into_parts();
        let (client, input) = client.into_parts();
        let client = (tunnel::End::Io(client), input.filled().into());
        match self.tunnel(cx, client, lease) {
            Some((tunnel, record)) => Next::Tunnel(Box::new(tunnel), record),
            None => Next::Close,
        }
    }
}

/// Returns whether the connection can be closed without a reset, because everything that the client
/// has sent was read.
fn is_done(wire: &mut Wire) -> bool {
    wire.is_body_complete() && wire.input().is_empty() && wire.io.has_nothing_to_read()
}

/// Decides what to do after a complete response.
fn after(mut wire: Box<Wire>, persistence: Persistence, now: Instant) -> Next {
    match persistence {
        Persistence::KeepAlive => Next::Request(wire, now),
        Persistence::Close if is_done(&mut wire) => Next::Close,
        Persistence::Close => Next::Linger(wire, linger::MAX_EARLY),
    }
}

/// Skips the part of a body that is already buffered, so that the connection can be reused.
fn skip_buffered_body(wire: &mut Wire) {
    while let Ok(Some(crate::wire::Progress::Data)) = wire.buffered_body() {
        wire.consume_data(usize::MAX);
    }
}

/// Writes the queued output. Fails if the client accepts nothing for `timeout.client`.
async fn flushed(
    wire: &mut Wire,
    timeouts: &crate::config::FrontendTimeouts,
) -> Result<(), (End, String)> {
    let mut stall = Stall::new(timeouts.client, wire.io.moved());
    poll_fn(|task| match wire.poll_flush(task) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(error)) => Poll::Ready(Err((End::ClientClosed, error.to_string()))),
        Poll::Pending => {
            let moved = wire.io.moved();
            let stalled = stall.poll(&mut wire.timer, moved, task);
            stalled.map(|()| Err((End::ClientTimeout, "the client stopped reading".to_owned())))
        }
    })
    .await
}
