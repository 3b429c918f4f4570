//! The start of a connection on a bind with options: PROXY header, TLS handshake, and detection of
//! the protocol.
//!
//! This stage runs in the connection's own task and under `timeout.handshake`. Connections on binds
//! without such options skip it. Spawned by `listener`.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use thiserror::Error;
use tokio::io::Interest;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Connection, Peer, http1, http2, tcp};
use crate::config::{AcceptProxy, Mode};
use crate::frontend::LocalBind;
use crate::http::message::Scheme;
use crate::shutdown::{ConnectionGuard, Shutdown};
use crate::telemetry::HandshakeOutcome;
use crate::transport::io::{Io, Socket};
use crate::transport::proxy_protocol::{
    self, Address, Header, MAX_HEADER_LENGTH, Parsed, ProxyProtocolError,
};
use crate::transport::tls::{HandshakeError, ServerTls};

/// The first bytes that every HTTP/2 client sends (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reason why a connection ends before its protocol begins.
#[derive(Debug, Error)]
enum AcceptError {
    /// The PROXY header that the configuration requires from this peer is missing or invalid.
    #[error("the peer must send a PROXY protocol header")]
    Header(#[source] ProxyProtocolError),
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] HandshakeError),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// `timeout.handshake` has passed.
    #[error("the peer took longer than timeout.handshake")]
    TimedOut,
    /// The process is stopping.
    #[error("the proxy is stopping")]
    Stopping,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// The client on whose behalf a peer connects.
#[derive(Debug, PartialEq, Eq)]
struct Client {
    peer: Peer,
    scheme: Scheme,
    /// The address that the client connected to.
    destination: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
    /// Opaque bytes of any protocol.
    None,
    /// No protocol: the client wanted only the certificate (RFC 8737, section 3).
    Challenge,
}

/// Returns whether connections on this bind need this stage before their protocol begins.
pub(super) fn is_needed(mode: Mode, bind: &LocalBind) -> bool {
    let config = &bind.config;
    mode == Mode::Tcp || bind.tls.is_some() || config.proxy_protocol.is_some() || config.h2c
}

/// Serves one connection from its first byte: handles what precedes the protocol, then spawns the
/// protocol's task.
///
/// # Cancel safety
/// Dropping it closes the connection.
pub(super) async fn serve(
    mut connection: Connection,
    bind: Rc<LocalBind>,
    peer: Peer,
    socket: Socket,
    guard: ConnectionGuard,
) {
    let rules = connection.frontend.rules();
    let deadline = Instant::now() + rules.config.timeouts.handshake;
    drop(rules);
    let (mut io, protocol) = match begin(&mut connection, &bind, peer, socket, deadline).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::debug!(
                frontend = &*connection.frontend.name,
                peer = %peer,
                error = crate::telemetry::chain(&error),
                "connection closed before its first request"
            );
            return;
        }
    };
    // The protocol runs in a separate task, so that the memory of this stage is freed.
    match protocol {
        Protocol::Http1 => drop(spawn_local(http1::serve(connection, io, guard))),
        Protocol::Http2 => drop(spawn_local(http2::serve(connection, io, guard))),
        Protocol::None => drop(spawn_local(tcp::serve(connection, io, deadline, guard))),
        Protocol::Challenge => {
            // It does not matter whether the shutdown reaches the client.
            let _ = timeout_at(deadline, poll_fn(|cx| io.poll_shutdown(cx))).await;
        }
    }
}

/// Reads everything that precedes the protocol. Returns the stream and its protocol.
async fn begin(
    connection: &mut Connection,
    bind: &LocalBind,
    peer: Peer,
    socket: Socket,
    deadline: Instant,
) -> Result<(Io, Protocol), AcceptError> {
    let shutdown = connection.shutdown.clone();
    if let Some(accept) = &bind.config.proxy_protocol
        && must_send_header(accept, peer)
        && let Some(client) = within(deadline, &shutdown, read_header(&socket)).await?
    {
        connection.set_peer(&client.peer, client.scheme, client.destination);
    }
    if let Some(tls) = &bind.tls {
        return secure(connection, tls, socket, deadline).await;
    }
    let protocol = if connection.frontend.rules().config.mode == Mode::Tcp {
        Protocol::None
    } else if bind.config.h2c {
        let look = peek::<{ PREFACE.len() }, _>(&socket, by_preface);
        within(deadline, &shutdown, look).await?
    } else {
        Protocol::Http1
    };
    Ok((Io::plain(socket), protocol))
}

/// Establishes a TLS session and records its facts.
async fn secure(
    connection: &mut Connection,
    tls: &ServerTls,
    socket: Socket,
    deadline: Instant,
) -> Result<(Io, Protocol), AcceptError> {
    let handshake = async {
        let stream = tls.accept(socket).await?;
        Ok((stream.facts(), stream))
    };
    let made = within(deadline, &connection.shutdown, handshake).await;
    let rules = connection.frontend.rules();
    let outcome = match &made {
        Ok((facts, _)) if facts.resumed => HandshakeOutcome::Resumed,
        Ok(_) => HandshakeOutcome::Full,
        Err(_) => HandshakeOutcome::Failed,
    };
    rules.handshakes.count(rules.worker, outcome);
    let (facts, stream) = made?;
    let protocol = if facts.is_challenge() {
        Protocol::Challenge
    } else if rules.config.mode == Mode::Tcp {
        Protocol::None
    } else if facts.alpn.as_deref() == Some(b"h2") {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    connection.set_tls(facts);
    Ok((Io::tls(stream), protocol))
}

/// Detects a client that uses HTTP/2 with prior knowledge (RFC 9113, section 3.3).
fn by_preface(bytes: &[u8]) -> Option<Result<Protocol, AcceptError>> {
    if bytes.starts_with(PREFACE) {
        Some(Ok(Protocol::Http2))
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        Some(Ok(Protocol::Http1))
    }
}

/// Returns the result of `stage`, or an error if `deadline` passes first. While the process drains,
/// the deadline for idle clients applies too.
async fn within<T>(
    deadline: Instant,
    shutdown: &Shutdown,
    stage: impl Future<Output = Result<T, AcceptError>>,
) -> Result<T, AcceptError> {
    let stopping = async {
        shutdown.begun().await;
        if let Some(drain_deadline) = shutdown.drain_deadline() {
            sleep_until(drain_deadline).await;
        }
    };
    tokio::select! {
        biased;
        staged = timeout_at(deadline, stage) => staged.unwrap_or(Err(AcceptError::TimedOut)),
        () = stopping => Err(AcceptError::Stopping),
    }
}

/// Returns whether the peer is a proxy that must send a PROXY header. Detecting the header by its
/// first bytes instead would let every client choose its address.
fn must_send_header(accept: &AcceptProxy, peer: Peer) -> bool {
    match peer {
        Peer::Tcp(address) => {
            let ip = address.ip().to_canonical();
            accept.from.iter().any(|network| network.contains(&ip))
        }
        Peer::Unix => accept.from_unix,
    }
}

/// Reads exactly the header and nothing after it. Returns None if the connection's own addresses
/// apply.
async fn read_header(socket: &Socket) -> Result<Option<Client>, AcceptError> {
    let look = |bytes: &[u8]| match proxy_protocol::parse(bytes) {
        Ok(Parsed::Partial) => None,
        Ok(Parsed::Complete { consumed, header }) => Some(Ok((consumed, client_of(&header)))),
        Err(error) => Some(Err(AcceptError::Header(error))),
    };
    let (length, client) = peek::<MAX_HEADER_LENGTH, _>(socket, look).await?;
    let mut header = [0; MAX_HEADER_LENGTH];
    // The peek has seen the whole header, so this read gets all of it.
    match socket.try_read(header.get_mut(..length).unwrap_or_default())? {
        read if read == length => Ok(client),
        _ => Err(AcceptError::Closed),
    }
}

/// Returns the client that the header names. Only an SSL TLV shows that the client used TLS: its
/// port number is no evidence.
fn client_of(header: &Header<'_>) -> Option<Client> {
    let Header::Proxied {
        source,
        destination,
        extensions,
    } = header
    else {
        return None;
    };
    let peer = match source {
        Address::Tcp(address) => Peer::Tcp(*address),
        Address::Unix(_) => Peer::Unix,
    };
    let scheme = match extensions.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    };
    let destination = match destination {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    };
    Some(Client {
        peer,
        scheme,
        destination,
    })
}

/// Peeks at the first bytes of a connection, at most `N`, until `look` returns a result.
async fn peek<const N: usize, T>(
    socket: &Socket,
    look: impl Fn(&[u8]) -> Option<Result<T, AcceptError>>,
) -> Result<T, AcceptError> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        let seen = socket.try_peek(&mut [0; N], |bytes| match bytes {
            [] => Some(Err(AcceptError::Closed)),
            bytes => look(bytes),
        });
        match seen {
            // The bytes of a partial header stay in the socket, so a peek never shows the end of
            // the stream after them.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if ready.is_read_closed() {
                    return Err(AcceptError::Closed);
                }
            }
            Err(error) => return Err(error.into()),
            Ok(seen) => return seen,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;

    fn peer(text: &str) -> Peer {
        text.parse().map_or(Peer::Unix, Peer::Tcp)
    }

    #[test]
    fn peers_that_speak_for_others() {
        let check = |from: &[&str], from_unix, client: &str, expected| {
            let accept = AcceptProxy {
                from: from.iter().map(|text| text.parse().unwrap()).collect(),
                from_unix,
            };
            let found = must_send_header(&accept, peer(client));
            assert_eq!(found, expected, "{from:?} {client}");
        };
        check(&["10.0.0.0/8"], false, "10.1.2.3:4", true);
        check(&["10.0.0.0/8"], false, "11.1.2.3:4", false);
        check(&["10.0.0.0/8"], false, "[::ffff:10.1.2.3]:4", true);
        check(&["::1/128", "10.0.0.0/8"], false, "[::1]:4", true);
        check(&["0.0.0.0/0", "::/0"], false, "unix", false);
        check(&[], true, "unix", true);
        check(&[], true, "127.0.0.1:4", false);
    }

    #[test]
    fn protocols_by_the_first_bytes() {
        let check = |bytes: &[u8], expected| {
            let found = by_preface(bytes).map(Result::unwrap);
            assert_eq!(found, expected, "{}", bytes.escape_ascii());
        };
        check(b"P", None);
        check(&PREFACE[..23], None);
        check(PREFACE, Some(Protocol::Http2));
        check(b"PR ", Some(Protocol::Http1));
        check(b"GET / HTTP/1.1\r\n", Some(Protocol::Http1));
        check(b"\r\n", Some(Protocol::Http1));
    }

    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n";
    /// A `LOCAL` header without addresses.
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    /// Sends `pieces`. Returns the result, and the bytes that remain for the protocol.
    async fn read(pieces: &[&[u8]]) -> (Result<Option<(Peer, Scheme)>, String>, Vec<u8>) {
        let (mut client, server) = UnixStream::pair().unwrap();
        let socket = Socket::Unix(server);
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let (header, ()) = tokio::join!(read_header(&socket), send);
        let header = header
            .map(|client| client.map(|client| (client.peer, client.scheme)))
            .map_err(|error| crate::telemetry::chain(&error));
        let Socket::Unix(mut server) = socket else {
            unreachable!();
        };
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        (header, rest)
    }

    #[tokio::test]
    async fn headers_whole_in_pieces_and_broken_off() {
        let check = async |pieces: &[&[u8]], expected: Result<Option<&str>, &str>, rest: &[u8]| {
            let expected = expected.map(|client| {
                client.map(|text| match text.strip_prefix("tls ") {
                    Some(text) => (peer(text), Scheme::Https),
                    None => (peer(text), Scheme::Http),
                })
            });
            let expected = (expected.map_err(str::to_owned), rest.to_vec());
            assert_eq!(read(pieces).await, expected, "{pieces:?}");
        };
        let client = Some("192.0.2.7:5000");
        check(&[V1], Ok(client), b"").await;
        check(&[&[V1, b"GET /"].concat()], Ok(client), b"GET /").await;
        let bytes: Vec<&[u8]> = V1.chunks(1).collect();
        check(
            &[&bytes[..], &[b"GET", b" /"]].concat(),
            Ok(client),
            b"GET /",
        )
        .await;
        let mut tls = Vec::new();
        let header = Header::Proxied {
            source: Address::Tcp("192.0.2.7:5000".parse().unwrap()),
            destination: Address::Tcp("192.0.2.1:443".parse().unwrap()),
            extensions: proxy_protocol::Extensions {
                tls: Some(proxy_protocol::Tls::default()),
                ..proxy_protocol::Extensions::default()
            },
        };
        proxy_protocol::push_v2(&header, proxy_protocol::Checksum::Include, &mut tls);
        check(&[&tls], Ok(Some("tls 192.0.2.7:5000")), b"").await;
        check(&[LOCAL, b"GET /"], Ok(None), b"GET /").await;
        let closed = Err("the peer closed the connection");
        check(&[], closed, b"").await;
        check(&[&V1[..9]], closed, &V1[..9]).await;
        let none = "the peer must send a PROXY protocol header: no PROXY protocol header";
        check(&[b"GET / HTTP/1.1\r\n"], Err(none), b"GET / HTTP/1.1\r\n").await;
        check(&[b"PROXX"], Err(none), b"PROXX").await;
    }
}
