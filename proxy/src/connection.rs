//! One downstream connection: bytes to requests, its timeouts, and how it is closed.
//!
//! hyper reads and writes HTTP; this file decides how long that may take and what follows:
//! the next request, a tunnel, or the end. Called by `listener`, which spawns it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::Interest;
use tokio::time::{Instant, timeout};

use crate::config;
use crate::downstream::transaction::Transaction;
use crate::downstream::{Downstream, Record};
use crate::http::head::Client;
use crate::http::headers::Trust;
use crate::request::{self, Frontend};
use crate::shutdown::{Permit, Shutdown};
use crate::stream::{Meter, Metered, Stream};
use crate::telemetry::End;
use crate::timer::{Stall, Timer};
use crate::tunnel::{self, Scratch, Tunnel};

/// Longest request head accepted, in bytes: room for a cookie of 32 KiB, twice over.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection that is being refused is still read from, so that the refusal
/// is not lost to the reset that closing with unread bytes causes (RFC 9112, section 9.6).
const MAX_LINGER: Duration = Duration::from_secs(2);

/// The peer of an accepted connection.
#[derive(Debug, Clone)]
pub enum Peer {
    /// Over TCP.
    Tcp(std::net::SocketAddr),
    /// Over a Unix socket.
    Unix,
}

/// Serves one connection from its first byte to its last, a tunnel included.
///
/// # Cancel safety
/// Dropping it closes the connection and all that it holds.
pub async fn serve(
    frontend: Rc<Frontend>,
    stream: Stream,
    peer: Peer,
    scratch: Scratch,
    shutdown: Shutdown,
    permit: Permit,
) {
    let meter = Rc::new(Meter::default());
    let downstream = Rc::new(introduce(&frontend, &peer, &meter));
    let end = serve_http(&frontend, &downstream, stream, &meter, &shutdown).await;
    match end {
        Ended::Closed => {}
        Ended::Linger(stream) => {
            let limit = MAX_LINGER.min(frontend.rules().config.timeouts.client_fin);
            // Whatever goes wrong now, the connection ends as it was going to.
            let _ = timeout(limit, linger(stream, &scratch)).await;
        }
        Ended::Upgraded(inner, outer) => {
            // A task of its own: what HTTP needed is given back while the tunnel lives.
            tokio::task::spawn_local(TunnelTask {
                tunnel: Tunnel::new(inner, outer, scratch),
                record: downstream.take_record(),
                _permit: permit,
            });
        }
    }
}

/// How HTTP on a connection ended.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each connection, taken apart at once"
)]
enum Ended {
    Closed,
    /// The client may still be sending.
    Linger(Stream),
    Upgraded(tunnel::Downstream, tunnel::Upstream),
}

async fn serve_http(
    frontend: &Rc<Frontend>,
    downstream: &Rc<Downstream>,
    stream: Stream,
    meter: &Rc<Meter>,
    shutdown: &Shutdown,
) -> Ended {
    let io = TokioIo::new(Metered::new(stream, Rc::clone(meter)));
    let service = service_fn(|request| {
        let answer = request::handle(frontend, Rc::clone(downstream), request);
        async {
            let mut answer = answer.await;
            // Also where it is made and sent in one go, and nobody sees that it is under way.
            if let Ok(response) = &mut answer
                && shutdown.farewell().is_some()
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                let fields = response.headers_mut();
                fields.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        }
    });
    let mut http = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .serve_connection(io, service);
    let mut watch = Watch::new(&frontend.rules().config.timeouts);
    let mut stopping = pin!(shutdown.begun());
    // Polled once, for its wake-up of this task; from then on the flag says as much.
    poll_fn(|cx| {
        let _ = stopping.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    let mut is_stopping = false;
    let outcome = poll_fn(|cx| {
        watch.farewell = shutdown.farewell();
        // `Metered` leaves the socket open when hyper is done with it.
        if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(Outcome::Http(result));
        }
        if meter.is_flushed() && downstream.has_answered() {
            downstream.log(End::Ok);
        }
        if meter.is_write_blocked() {
            downstream.drive(cx);
        }
        // Its response says that it is the last. To tell hyper of it between two requests
        // would close the connection under a client that is just sending one.
        if !is_stopping && watch.farewell.is_some() && downstream.is_busy() {
            is_stopping = true;
            Pin::new(&mut http).graceful_shutdown();
        }
        watch.poll(downstream, meter, cx).map(Outcome::Expired)
    })
    .await;
    let parts = http.into_parts();
    let stream = parts.io.into_inner().into_stream();
    match outcome {
        Outcome::Http(Ok(())) => finish(frontend, downstream, meter, stream, parts.read_buf),
        Outcome::Http(Err(error)) => broken(frontend, downstream, stream, &error),
        Outcome::Expired(wait) => expired(frontend, downstream, stream, wait),
    }
}

enum Outcome {
    Http(Result<(), hyper::Error>),
    Expired(Wait),
}

/// hyper is done: the connection is at its end, or becomes a tunnel.
fn finish(
    frontend: &Frontend,
    downstream: &Downstream,
    meter: &Meter,
    stream: Stream,
    early: bytes::Bytes,
) -> Ended {
    let Some(upstream) = downstream.upgrade.take() else {
        let end = if downstream.has_answered() {
            End::Ok
        } else {
            End::ClientClosed
        };
        downstream.log(end);
        return if early.is_empty() && downstream.upload.is_over() {
            Ended::Closed
        } else {
            Ended::Linger(stream)
        };
    };
    if !meter.is_flushed() {
        // The client has left a whole socket buffer unread, and of the 101 behind it a part
        // is still with hyper, which does not give it back.
        downstream.note(|transaction| {
            transaction.fail(End::ClientClosed, || "no room for the 101".to_owned());
        });
        downstream.log(End::ClientClosed);
        return Ended::Closed;
    }
    let rules = frontend.rules();
    let timeouts = &rules.config.timeouts;
    let downstream = tunnel::Downstream {
        stream,
        early,
        client: timeouts.client,
        client_fin: timeouts.client_fin,
    };
    Ended::Upgraded(downstream, upstream)
}

/// hyper gave up: a head that is no HTTP, or a side that broke off.
fn broken(
    frontend: &Frontend,
    downstream: &Downstream,
    stream: Stream,
    error: &hyper::Error,
) -> Ended {
    // What could not be read is not the request before it.
    if downstream.has_answered() && downstream.meter.is_flushed() {
        downstream.log(End::Ok);
    }
    if error.is_parse() && downstream.transaction.borrow().is_none() {
        record_refusal(
            frontend,
            downstream,
            refused_status(error),
            error.to_string(),
        );
        return Ended::Linger(stream);
    }
    downstream.note(|transaction| transaction.cut(End::ClientClosed, error.to_string()));
    downstream.log(End::ClientClosed);
    Ended::Closed
}

/// What hyper has answered to a head that it could not read.
fn refused_status(error: &hyper::Error) -> StatusCode {
    // A target is refused for its length long before hyper's own limit of 64 KiB for it.
    if error.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    }
}

fn expired(frontend: &Frontend, downstream: &Downstream, stream: Stream, wait: Wait) -> Ended {
    match wait {
        Wait::KeepAlive => Ended::Closed,
        Wait::Client => {
            let reason = "the client stopped reading".to_owned();
            downstream.note(|transaction| transaction.cut(End::ClientTimeout, reason));
            downstream.log(End::ClientTimeout);
            Ended::Closed
        }
        Wait::Head => {
            record_refusal(
                frontend,
                downstream,
                StatusCode::REQUEST_TIMEOUT,
                "the head took too long".to_owned(),
            );
            // hyper is in the middle of a head; nothing of an answer is under way.
            let _ = stream.try_write(
                b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            );
            Ended::Linger(stream)
        }
    }
}

/// Logs a request whose head nobody could read.
fn record_refusal(
    frontend: &Frontend,
    downstream: &Downstream,
    status: StatusCode,
    reason: String,
) {
    let id = frontend.next_id();
    let rules = frontend.rules();
    rules.answers.count(rules.worker, status);
    let now = Instant::now();
    let mut transaction = Transaction::new(id, downstream.head_since.take().unwrap_or(now), now);
    transaction.status = Some(status);
    let end = if status == StatusCode::REQUEST_TIMEOUT {
        End::ClientTimeout
    } else {
        End::Refused
    };
    transaction.fail(end, || reason);
    transaction.log(&downstream.frontend, &downstream.client, end);
}

/// A tunnel until its end, with its line in the log.
struct TunnelTask {
    tunnel: Tunnel,
    record: Record,
    _permit: Permit,
}

impl TunnelTask {
    fn log(&mut self, end: End) {
        let Self { tunnel, record, .. } = self;
        record.log(end, tunnel.inward(), tunnel.outward());
    }
}

impl Future for TunnelTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let end = ready!(self.tunnel.poll(cx));
        self.log(end);
        Poll::Ready(())
    }
}

impl Drop for TunnelTask {
    /// One that is dropped in the middle is cut off by a worker that stops.
    fn drop(&mut self) {
        self.log(End::Drain);
    }
}

/// Says that nothing more will come, and reads on until the client has understood.
async fn linger(stream: Stream, scratch: &Scratch) -> io::Result<()> {
    stream.shutdown_write()?;
    loop {
        stream.ready(Interest::READABLE).await?;
        match scratch.discard(&stream) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a connection's requests need to know of their client.
fn introduce(frontend: &Frontend, peer: &Peer, meter: &Rc<Meter>) -> Downstream {
    let (client, forwarded_for, trust) = match peer {
        Peer::Tcp(address) => {
            // An IPv4 client of a dual-stack socket is an IPv4 client.
            let ip: IpAddr = address.ip().to_canonical();
            let text = ip.to_string();
            let rules = frontend.rules();
            let trusted = &rules.config.forwarded.trusted_proxies;
            let trust = if trusted.iter().any(|network| network.contains(&ip)) {
                Trust::Trusted
            } else {
                Trust::Untrusted
            };
            let forwarded_for = HeaderValue::from_str(&text).ok();
            let client = Client {
                address: text,
                port: address.port(),
            };
            (client, forwarded_for, trust)
        }
        Peer::Unix => {
            let client = Client {
                address: String::new(),
                port: 0,
            };
            (client, None, Trust::Untrusted)
        }
    };
    let name = Rc::clone(&frontend.name);
    Downstream::new(name, client, forwarded_for, trust, Rc::clone(meter))
}

/// What a connection is waiting for that has a limit here. A request's own waits, for its
/// body or for the server, are limited where they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The next request's first byte.
    KeepAlive,
    /// The end of a head.
    Head,
    /// The client to read.
    Client,
}

/// The timeouts of a connection. Has one timer, which the requests that come and go hardly
/// ever touch.
#[derive(Debug)]
struct Watch {
    timeouts: config::FrontendTimeouts,
    timer: Timer,
    write: Stall,
    was_blocked: bool,
    idle: Option<Idle>,
    /// When a client that asks nothing is let go, once the worker stops.
    farewell: Option<Instant>,
    /// Requests seen so far. Who has just connected has one to send: the wait for its first
    /// byte counts as part of the head, and every byte belongs to it.
    requests: u64,
}

/// A wait for a head.
#[derive(Debug, Clone, Copy)]
struct Idle {
    since: Instant,
    /// Bytes read when it began.
    read: u64,
}

impl Watch {
    fn new(timeouts: &config::FrontendTimeouts) -> Watch {
        Watch {
            timeouts: *timeouts,
            timer: Timer::default(),
            write: Stall::new(timeouts.client, 0),
            was_blocked: false,
            idle: None,
            farewell: None,
            requests: 0,
        }
    }

    fn poll(&mut self, downstream: &Downstream, meter: &Meter, cx: &mut Context<'_>) -> Poll<Wait> {
        if meter.is_write_blocked() {
            if !self.was_blocked {
                self.was_blocked = true;
                self.write.restart();
            }
            // A client that sends is there, even if it does not read yet.
            let stalled = self.write.poll(&mut self.timer, meter.moved(), cx);
            return stalled.map(|()| Wait::Client);
        }
        self.was_blocked = false;
        if self.requests != downstream.requests.get() {
            // Also one that began and ended within a single poll.
            self.requests = downstream.requests.get();
            self.idle = None;
        }
        if downstream.transaction.borrow().is_some() {
            return Poll::Pending;
        }
        let idle = *self.idle.get_or_insert_with(|| Idle {
            since: Instant::now(),
            read: if self.requests > 0 { meter.read() } else { 0 },
        });
        if downstream.head_since.get().is_none() && meter.read() > idle.read {
            downstream.head_since.set(Some(Instant::now()));
        }
        if let Some(since) = downstream.head_since.get() {
            let deadline = since + self.timeouts.request;
            return self.timer.poll_until(deadline, cx).map(|()| Wait::Head);
        }
        let patience = if self.requests > 0 {
            self.timeouts.keep_alive
        } else {
            self.timeouts.request
        };
        let deadline = idle.since + patience;
        let deadline = self
            .farewell
            .map_or(deadline, |farewell| deadline.min(farewell));
        self.timer
            .poll_until(deadline, cx)
            .map(|()| Wait::KeepAlive)
    }
}
