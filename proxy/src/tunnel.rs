//! Tunnels: two streams connected byte for byte, for example after `101 Switching Protocols`.
//!
//! An idle tunnel has no buffer. It waits until a stream is readable, borrows the worker's scratch
//! buffer, and keeps only the bytes that the other side has no room for. `splice(2)` moves bulk
//! data between plain TCP sockets. Each direction ends independently; its end is passed on as a
//! half-close.

mod end;
mod flow;
mod scratch;
mod splice;

use std::task::{Context, Poll};
use std::time::Duration;

use crate::telemetry;
use crate::timer::{Stall, Timer};
use crate::upstream::Hold;
use flow::Flow;

pub use end::End;

pub use scratch::Scratch;

/// Maximum number of descriptors that one worker's pipes use.
pub const PIPE_DESCRIPTORS: usize = 2 * splice::MAX_PIPES;

/// The server's side of a tunnel that is about to be created.
#[derive(Debug)]
pub struct Upstream {
    /// Stream to the server.
    pub stream: End,
    /// Bytes that were read from the server before the tunnel is created, for example right after
    /// its 101 response.
    pub early: Box<[u8]>,
    /// Guard that counts the tunnel among its server's connections.
    pub hold: Hold,
    /// `timeout.tunnel`. If this is `None`, the lesser of `timeout.server` and `timeout.client`
    /// applies.
    pub idle: Option<Duration>,
    /// `timeout.server`.
    pub server: Duration,
    /// `timeout.server_fin`.
    pub server_fin: Duration,
}

/// The client's side of a tunnel that is about to be created.
#[derive(Debug)]
pub struct Downstream {
    /// Stream to the client.
    pub stream: End,
    /// Bytes that were read from the client before the tunnel is created, for example right after
    /// its upgrade request.
    pub early: Box<[u8]>,
    /// `timeout.client`.
    pub client: Duration,
    /// `timeout.client_fin`.
    pub client_fin: Duration,
}

/// Two streams, and the bytes in transit between them.
///
/// This is a state machine, because an async function would store its arguments twice. Memory
/// matters: a worker can have many tunnels that are idle for days.
#[derive(Debug)]
pub struct Tunnel {
    client: End,
    server: End,
    inward: Flow,
    outward: Flow,
    /// Idle timeout while both directions are open.
    idle: Duration,
    client_fin: Duration,
    server_fin: Duration,
    stall: Stall,
    timer: Timer,
    scratch: Scratch,
    _hold: Hold,
}

impl Tunnel {
    /// Creates a tunnel, which moves nothing until it is polled.
    pub fn new(downstream: Downstream, upstream: Upstream, scratch: Scratch) -> Tunnel {
        // As in HAProxy, a tunnel without `timeout.tunnel` uses the timeouts of its two sides.
        let idle = upstream
            .idle
            .unwrap_or(upstream.server.min(downstream.client));
        Tunnel {
            inward: Flow::new(&downstream.early),
            outward: Flow::new(&upstream.early),
            client: downstream.stream,
            server: upstream.stream,
            idle,
            client_fin: downstream.client_fin,
            server_fin: upstream.server_fin,
            stall: Stall::new(idle, 0),
            timer: Timer::default(),
            scratch,
            _hold: upstream.hold,
        }
    }

    /// Returns the number of bytes received from the client so far.
    pub fn inward(&self) -> u64 {
        self.inward.moved()
    }

    /// Returns the number of bytes sent to the client so far.
    pub fn outward(&self) -> u64 {
        self.outward.moved()
    }

    /// Returns a number that grows whenever bytes move. It includes partial TLS records, which the
    /// flows do not count, and spliced bytes, which the streams do not count.
    fn progress(&self) -> u64 {
        let streams = self.client.moved() + self.server.moved();
        self.inward.moved() + self.outward.moved() + streams
    }

    /// Moves bytes in both directions. Ready once both sides have ended, one of them has failed, or
    /// nothing has moved for too long; the result is how the tunnel ended. Dropping the tunnel
    /// closes both sockets.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<telemetry::End> {
        let polled_in = self
            .inward
            .poll(&mut self.client, &mut self.server, &self.scratch, cx);
        if let Poll::Ready(Err(_)) = polled_in {
            return Poll::Ready(telemetry::End::Tunnel);
        }
        let polled_out = self
            .outward
            .poll(&mut self.server, &mut self.client, &self.scratch, cx);
        if let Poll::Ready(Err(_)) = polled_out {
            return Poll::Ready(telemetry::End::Tunnel);
        }
        let next = match (self.inward.has_ended(), self.outward.has_ended()) {
            (true, true) => return Poll::Ready(telemetry::End::Tunnel),
            (true, false) => self.client_fin,
            (false, true) => self.server_fin,
            (false, false) => self.idle,
        };
        if next != self.stall.limit() {
            // Time for which the tunnel was idle while both ends were open does not count toward
            // the new limit.
            self.stall.set_limit(next);
            self.stall.restart();
        }
        let progress = self.progress();
        self.stall
            .poll(&mut self.timer, progress, cx)
            .map(|()| telemetry::End::TunnelTimeout)
    }
}

#[cfg(test)]
mod tls_tests;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use std::future::poll_fn;

    use super::{End as Side, *};
    use crate::telemetry::End;
    use crate::transport::io::Io;
    use crate::transport::io::Socket;
    use crate::upstream::Hold;

    /// Runs a tunnel. Returns how the tunnel ended, and the number of bytes in each direction.
    async fn run(inner: Downstream, outer: Upstream, scratch: Scratch) -> (End, u64, u64) {
        let mut tunnel = Tunnel::new(inner, outer, scratch);
        let end = poll_fn(|cx| tunnel.poll(cx)).await;
        (end, tunnel.inward(), tunnel.outward())
    }

    const LONG: Duration = Duration::from_hours(1);

    /// Creates a tunnel between two socket pairs, and returns their far ends.
    fn tunnel(
        early_in: &'static [u8],
        early_out: &'static [u8],
        idle: Option<Duration>,
    ) -> (
        UnixStream,
        UnixStream,
        impl Future<Output = (End, u64, u64)>,
    ) {
        let (client, near_client) = UnixStream::pair().unwrap();
        let (server, near_server) = UnixStream::pair().unwrap();
        let (downstream, upstream) = ends(
            (Socket::Unix(near_client), early_in),
            (Socket::Unix(near_server), early_out),
            idle,
        );
        (
            client,
            server,
            run(downstream, upstream, Scratch::default()),
        )
    }

    /// Creates the two sides of a tunnel, each with its early bytes.
    fn ends(
        (client, early_in): (Socket, &'static [u8]),
        (server, early_out): (Socket, &'static [u8]),
        idle: Option<Duration>,
    ) -> (Downstream, Upstream) {
        let downstream = Downstream {
            stream: Side::Io(Io::plain(client)),
            early: early_in.into(),
            client: LONG,
            client_fin: Duration::from_secs(7),
        };
        let upstream = Upstream {
            stream: Side::Io(Io::plain(server)),
            early: early_out.into(),
            hold: Hold::default(),
            idle,
            server: LONG * 2,
            server_fin: Duration::from_secs(8),
        };
        (downstream, upstream)
    }

    #[tokio::test]
    async fn early_bytes_go_first_and_half_close_is_carried() {
        let (mut client, mut server, tunnel) = tunnel(b"hello ", b"welcome ", None);
        let ends = async {
            client.write_all(b"world").await.unwrap();
            client.shutdown().await.unwrap();
            let mut seen = String::new();
            server.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "hello world");
            // The other direction is still open.
            server.write_all(b"back").await.unwrap();
            drop(server);
            let mut seen = String::new();
            client.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "welcome back");
        };
        let (end, ()) = tokio::join!(tunnel, ends);
        assert_eq!(end, (End::Tunnel, 11, 12));
    }

    /// Returns the two ends of a TCP connection.
    async fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn bulk_data_is_spliced_and_no_pipe_is_kept_when_idle() {
        let (mut client, near_client) = tcp_pair().await;
        let (near_server, mut server) = tcp_pair().await;
        let (inner, outer) = ends(
            (Socket::Tcp(near_client), b"early "),
            (Socket::Tcp(near_server), b""),
            None,
        );
        let scratch = Scratch::default();
        let tunnel = run(inner, outer, scratch.clone());
        let sent: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        let ends = async {
            for round in 0..2 {
                let receive = async {
                    let mut seen = vec![0; sent.len() + if round == 0 { 6 } else { 0 }];
                    // The reader is slow, so that the buffers and the pipe fill up.
                    for part in seen.chunks_mut(1_000_000) {
                        server.read_exact(part).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    assert!(seen.ends_with(&sent), "round {round}");
                };
                let (written, ()) = tokio::join!(client.write_all(&sent), receive);
                written.unwrap();
                // A byte in the other direction shows that the first direction is idle again.
                server.write_all(b"x").await.unwrap();
                client.read_exact(&mut [0]).await.unwrap();
                assert_eq!(scratch.0.pipes.idle(), 1, "used, and given back");
            }
            drop((client, server));
        };
        let (end, ()) = tokio::join!(tunnel, ends);
        assert_eq!(end, (End::Tunnel, 2 * sent.len() as u64 + 6, 2));
    }

    #[tokio::test]
    async fn a_slow_reader_loses_nothing() {
        let (mut client, mut server, tunnel) = tunnel(b"", b"", None);
        let sent: Vec<u8> = (0..4_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let write = async {
            server.write_all(&sent).await.unwrap();
            drop(server);
        };
        let read = async {
            let mut seen = Vec::new();
            let mut piece = [0; 1000];
            loop {
                tokio::task::yield_now().await;
                match client.read(&mut piece).await.unwrap() {
                    0 => break,
                    count => seen.extend_from_slice(&piece[..count]),
                }
            }
            assert!(seen == expected);
            drop(client);
        };
        tokio::join!(tunnel, write, read);
    }

    #[tokio::test(start_paused = true)]
    async fn the_half_close_timeout_starts_at_the_half_close() {
        let (mut client, server, tunnel) = tunnel(b"", b"", None);
        let start = tokio::time::Instant::now();
        let idle = Duration::from_mins(5);
        let close = async {
            tokio::time::sleep(idle).await;
            client.shutdown().await.unwrap();
        };
        let (end, ()) = tokio::join!(tunnel, close);
        assert_eq!(end, (End::TunnelTimeout, 0, 0));
        assert_eq!(start.elapsed(), idle + Duration::from_secs(7));
        drop(server);
    }

    #[tokio::test]
    async fn bytes_sent_before_a_side_left_arrive() {
        let (mut client, mut server, tunnel) = tunnel(b"", b"", None);
        let ends = async {
            server.write_all(b"last words").await.unwrap();
            drop(server);
            // The server no longer receives these bytes.
            client.write_all(b"ping").await.unwrap();
            let mut seen = String::new();
            client.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "last words");
            drop(client);
        };
        tokio::join!(tunnel, ends);
    }

    #[tokio::test(start_paused = true)]
    async fn ends_when_idle() {
        let check = async |idle: Option<Duration>, half_close: &str, expected: Duration| {
            let (mut client, mut server, tunnel) = tunnel(b"", b"", idle);
            match half_close {
                "client" => client.shutdown().await.unwrap(),
                "server" => server.shutdown().await.unwrap(),
                _ => {}
            }
            let start = tokio::time::Instant::now();
            assert_eq!(tunnel.await, (End::TunnelTimeout, 0, 0));
            assert_eq!(start.elapsed(), expected, "{idle:?} {half_close}");
        };
        let minute = Duration::from_mins(1);
        check(Some(minute), "", minute).await;
        check(None, "", LONG).await;
        check(Some(minute), "client", Duration::from_secs(7)).await;
        check(Some(minute), "server", Duration::from_secs(8)).await;
    }
}
