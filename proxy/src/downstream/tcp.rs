//! A connection of a frontend with `mode = "tcp"`: routed once, and a tunnel from then on.
//!
//! Nothing is decrypted here. If the frontend has a router, the client's first bytes are parsed as
//! a TLS `ClientHello` to find the host name; the server receives them unchanged.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Connection;
use super::tunnel::TunnelTask;
use crate::http::message::RequestHead;
use crate::request::context::Context;
use crate::request::error::ProxyError;
use crate::request::exchange::ExchangeError;
use crate::request::record::Record;
use crate::request::tcp;
use crate::shutdown::ConnectionGuard;
use crate::telemetry::{End, chain};
use crate::transport::client_hello::{self, ClientHelloError, MAX_CLIENT_HELLO, Parsed};
use crate::transport::io::{CloseMode, Io};
use crate::tunnel;
use crate::wire::Wire;

/// How long to wait for the client's first byte before its connection is routed without a name: in
/// some protocols the server speaks first. A TLS client sends at once; this leaves time for a
/// packet that is lost and retransmitted after a second (RFC 6298, section 2).
const FIRST_BYTE_WAIT: Duration = Duration::from_secs(2);

/// Serves one connection until it becomes a tunnel or ends. A `ClientHello` that has begun must be
/// complete by `deadline`.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub(super) async fn serve(
    connection: Connection,
    io: Io,
    deadline: Instant,
    guard: ConnectionGuard,
) {
    let started = Instant::now();
    let mut wire = Box::new(Wire::new(io, &connection.resources.buffers));
    let rules = connection.frontend.rules();
    let tls = connection.facts.tls.as_ref();
    let name = match rules.router {
        // If TLS is terminated here, the name comes from that handshake.
        Some(_) if let Some(tls) = tls => Ok(tls.server_name.as_deref().map(str::to_owned)),
        Some(_) => read_name(&mut wire, deadline).await,
        None => Ok(None),
    };
    let mut head = RequestHead::default();
    if let Ok(Some(name)) = &name {
        head.set_server_name(name);
    }
    let now = Instant::now();
    let record = Record::new(connection.frontend.next_id(), started, now);
    let mut cx = Context::new(Rc::clone(&connection.facts), rules, head, record);
    let lease = match name {
        Ok(_) => tcp::connect(&mut cx, &mut wire, &connection.frontend).await,
        Err(error) => Err(error),
    };
    match lease {
        Ok(lease) => {
            let (io, input) = wire.into_parts();
            let client = (tunnel::End::Io(io), input.filled().into());
            if let Some((tunnel, record)) = connection.tunnel(cx, client, lease) {
                tokio::task::spawn_local(TunnelTask::new(tunnel, record, Some(guard)));
            }
        }
        Err(ProxyError::Exchange(error @ ExchangeError::ClientGone(_))) => {
            cx.record.fail(End::ClientClosed, || chain(&error));
        }
        Err(error) => {
            cx.record.fail(error.outcome().1, || chain(&error));
            // An orderly close would look as if the server had closed the connection.
            wire.io.set_close_mode(CloseMode::Reset);
        }
    }
}

/// Reads the host name that a TLS client requests. Returns None if the client does not use TLS,
/// names no host, or waits for the server to speak.
async fn read_name(wire: &mut Wire, deadline: Instant) -> Result<Option<String>, ProxyError> {
    let first_byte = deadline.min(Instant::now() + FIRST_BYTE_WAIT);
    poll_fn(|task| poll_name(wire, first_byte, deadline, task)).await
}

fn poll_name(
    wire: &mut Wire,
    first_byte: Instant,
    deadline: Instant,
    task: &mut Task<'_>,
) -> Poll<Result<Option<String>, ProxyError>> {
    loop {
        let has_begun = !wire.input().is_empty();
        if has_begun {
            match client_hello::parse(wire.input()) {
                Ok(Parsed::Complete(hello)) => return Poll::Ready(Ok(hello.server_name)),
                Ok(Parsed::Partial) => {}
                Err(ClientHelloError::NotTls) => return Poll::Ready(Ok(None)),
                // An invalid message is not forwarded: the server might accept it and find a name
                // in it.
                Err(error) => return Poll::Ready(Err(ProxyError::ClientHello(error))),
            }
        }
        match wire.poll_fill(MAX_CLIENT_HELLO, task) {
            // A client that closes its side without sending anything may still want to read.
            Poll::Ready(Ok(0)) if !has_begun => return Poll::Ready(Ok(None)),
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(gone(None))),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(gone(Some(error)))),
            Poll::Pending if has_begun => {
                let over = wire.timer.poll_until(deadline, task);
                return over.map(|()| Err(ProxyError::ClientHelloTimeout));
            }
            Poll::Pending => {
                let over = wire.timer.poll_until(first_byte, task);
                return over.map(|()| Ok(None));
            }
        }
    }
}

fn gone(error: Option<std::io::Error>) -> ProxyError {
    ProxyError::Exchange(ExchangeError::ClientGone(error))
}
