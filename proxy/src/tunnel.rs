//! A tunnel: two sockets, byte for byte, after `101 Switching Protocols`.
//!
//! While it is idle it holds no buffer: it waits until a socket is readable, borrows the
//! worker's scratch buffer, and keeps only what the other side has no room for. Each
//! direction ends on its own; the end of one is carried across as a half-close.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::stream::Stream;
use crate::telemetry::End;
use crate::timer::{Stall, Timer};
use crate::upstream::Hold;

/// Bytes moved in one go: as much as a socket buffer commonly holds.
const SCRATCH_LEN: usize = 64 * 1024;
/// Reads that one direction may make before the worker's other tasks have their turn.
const MAX_READS_A_TURN: u32 = 16;

/// A buffer that all tunnels of a worker use in turn.
#[derive(Debug, Clone)]
pub struct Scratch(Rc<RefCell<Box<[u8]>>>);

impl Default for Scratch {
    fn default() -> Self {
        Scratch(Rc::new(RefCell::new(
            vec![0; SCRATCH_LEN].into_boxed_slice(),
        )))
    }
}

impl Scratch {
    /// Reads and forgets.
    ///
    /// # Errors
    /// As [`Stream::try_read`].
    pub fn discard(&self, stream: &Stream) -> io::Result<usize> {
        stream.try_read(&mut self.0.borrow_mut())
    }
}

/// The server's side of a tunnel to be.
#[derive(Debug)]
pub struct Upstream {
    /// Its socket.
    pub stream: Stream,
    /// What the server sent right behind its 101.
    pub early: Bytes,
    /// Keeps the tunnel counted.
    pub hold: Hold,
    /// `timeout.tunnel`; unset, `timeout.server`.
    pub idle: Option<Duration>,
    /// `timeout.server`.
    pub server: Duration,
    /// `timeout.server_fin`.
    pub server_fin: Duration,
}

/// The client's side.
#[derive(Debug)]
pub struct Downstream {
    /// Its socket.
    pub stream: Stream,
    /// What the client sent right behind its handshake.
    pub early: Bytes,
    /// `timeout.client`.
    pub client: Duration,
    /// `timeout.client_fin`.
    pub client_fin: Duration,
}

/// What has passed through a tunnel so far; outlives one that is cut off.
#[derive(Debug, Default)]
pub struct Traffic {
    inward: Cell<u64>,
    outward: Cell<u64>,
}

impl Traffic {
    /// Bytes from the client.
    pub fn inward(&self) -> u64 {
        self.inward.get()
    }

    /// Bytes to the client.
    pub fn outward(&self) -> u64 {
        self.outward.get()
    }
}

/// One direction.
#[derive(Debug)]
struct Flow<'a> {
    /// Read, but not yet taken by the other side.
    rest: Bytes,
    state: FlowState,
    moved: &'a Cell<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlowState {
    Open,
    /// The source has ended; what is left is being written.
    Draining,
    /// The end has been passed on.
    Closed,
}

impl<'a> Flow<'a> {
    fn new(early: Bytes, moved: &'a Cell<u64>) -> Flow<'a> {
        Flow {
            rest: early,
            state: FlowState::Open,
            moved,
        }
    }

    /// Moves what can be moved; ready when the end has been passed on, or nobody wants the
    /// rest. Fails where the source is broken: then both directions are.
    fn poll(
        &mut self,
        from: &Stream,
        to: &Stream,
        scratch: &Scratch,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reads = 0;
        loop {
            if !self.rest.is_empty() {
                match to.try_write(&self.rest) {
                    Ok(count) => self.taken(count),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(to.poll_write_ready(cx))?;
                    }
                    Err(_) => self.give_up(),
                }
                continue;
            }
            match self.state {
                FlowState::Closed => return Poll::Ready(Ok(())),
                FlowState::Draining => {
                    self.state = FlowState::Closed;
                    // The peer may be gone already, which ends this direction as well.
                    let _ = to.shutdown_write();
                    return Poll::Ready(Ok(()));
                }
                FlowState::Open => {}
            }
            if reads == MAX_READS_A_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            match self.step(from, to, scratch) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(from.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// One read, and one write of what it found.
    fn step(&mut self, from: &Stream, to: &Stream, scratch: &Scratch) -> io::Result<()> {
        let mut scratch = scratch.0.borrow_mut();
        let count = from.try_read(&mut scratch)?;
        if count == 0 {
            self.state = FlowState::Draining;
            return Ok(());
        }
        let written = match to.try_write(&scratch[..count]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.give_up();
                return Ok(());
            }
        };
        self.note(written);
        if written < count {
            self.rest = Bytes::copy_from_slice(&scratch[written..count]);
        }
        Ok(())
    }

    fn taken(&mut self, count: usize) {
        self.note(count);
        self.rest.advance(count);
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
    }

    /// The other side takes no more. What it has sent before may still be on its way.
    fn give_up(&mut self) {
        self.rest = Bytes::new();
        self.state = FlowState::Closed;
    }

    fn note(&self, count: usize) {
        self.moved.set(self.moved.get() + count as u64);
    }

    fn has_ended(&self) -> bool {
        self.state == FlowState::Closed
    }
}

/// Moves bytes until both sides have ended, one of them fails, or nothing moves for too
/// long; gives how it ended.
///
/// # Cancel safety
/// Dropping it closes both sockets.
pub async fn run(
    downstream: Downstream,
    upstream: Upstream,
    traffic: &Traffic,
    scratch: Scratch,
) -> End {
    let mut inward = Flow::new(downstream.early, &traffic.inward);
    let mut outward = Flow::new(upstream.early, &traffic.outward);
    // As in HAProxy, without a limit of its own a tunnel has those of its two sides.
    let idle = upstream
        .idle
        .unwrap_or(upstream.server.min(downstream.client));
    let mut timer = Timer::default();
    let mut stall = Stall::new(idle, 0);
    let mut limit = idle;
    poll_fn(|cx| {
        let polled_in = inward.poll(&downstream.stream, &upstream.stream, &scratch, cx);
        if let Poll::Ready(Err(_)) = polled_in {
            return Poll::Ready(End::Tunnel);
        }
        let polled_out = outward.poll(&upstream.stream, &downstream.stream, &scratch, cx);
        if let Poll::Ready(Err(_)) = polled_out {
            return Poll::Ready(End::Tunnel);
        }
        let next = match (inward.has_ended(), outward.has_ended()) {
            (true, true) => return Poll::Ready(End::Tunnel),
            (true, false) => downstream.client_fin,
            (false, true) => upstream.server_fin,
            (false, false) => idle,
        };
        if next != limit {
            // The time that it was idle with both ends open is not counted again.
            limit = next;
            stall.set_limit(limit);
            stall.restart();
        }
        stall
            .poll(&mut timer, traffic.inward() + traffic.outward(), cx)
            .map(|()| End::TunnelTimeout)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;

    use super::*;
    use crate::upstream::Hold;

    const LONG: Duration = Duration::from_hours(1);

    /// A tunnel between two socket pairs; gives the far ends.
    fn tunnel(
        early_in: &'static [u8],
        early_out: &'static [u8],
        idle: Option<Duration>,
        traffic: &Traffic,
    ) -> (UnixStream, UnixStream, impl Future<Output = End>) {
        let (client, near_client) = UnixStream::pair().unwrap();
        let (server, near_server) = UnixStream::pair().unwrap();
        let downstream = Downstream {
            stream: Stream::Unix(near_client),
            early: Bytes::from_static(early_in),
            client: LONG,
            client_fin: Duration::from_secs(7),
        };
        let upstream = Upstream {
            stream: Stream::Unix(near_server),
            early: Bytes::from_static(early_out),
            hold: Hold::none(),
            idle,
            server: LONG * 2,
            server_fin: Duration::from_secs(8),
        };
        (
            client,
            server,
            run(downstream, upstream, traffic, Scratch::default()),
        )
    }

    #[tokio::test]
    async fn early_bytes_go_first_and_half_close_is_carried() {
        let traffic = Traffic::default();
        let (mut client, mut server, tunnel) = tunnel(b"hello ", b"welcome ", None, &traffic);
        let ends = async {
            client.write_all(b"world").await.unwrap();
            client.shutdown().await.unwrap();
            let mut seen = String::new();
            server.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "hello world");
            // The other direction is open still.
            server.write_all(b"back").await.unwrap();
            drop(server);
            let mut seen = String::new();
            client.read_to_string(&mut seen).await.unwrap();
            assert_eq!(seen, "welcome back");
        };
        let (end, ()) = tokio::join!(tunnel, ends);
        assert_eq!(end, End::Tunnel);
        assert_eq!((traffic.inward(), traffic.outward()), (11, 12));
    }

    #[tokio::test]
    async fn a_slow_reader_loses_nothing() {
        let traffic = Traffic::default();
        let (mut client, mut server, tunnel) = tunnel(b"", b"", None, &traffic);
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
    async fn a_half_close_starts_to_count_when_it_happens() {
        let traffic = Traffic::default();
        let (mut client, server, tunnel) = tunnel(b"", b"", None, &traffic);
        let start = tokio::time::Instant::now();
        let idle = Duration::from_mins(5);
        let close = async {
            tokio::time::sleep(idle).await;
            client.shutdown().await.unwrap();
        };
        let (end, ()) = tokio::join!(tunnel, close);
        assert_eq!(end, End::TunnelTimeout);
        assert_eq!(start.elapsed(), idle + Duration::from_secs(7));
        drop(server);
    }

    #[tokio::test]
    async fn what_a_side_sent_before_it_left_arrives() {
        let traffic = Traffic::default();
        let (mut client, mut server, tunnel) = tunnel(b"", b"", None, &traffic);
        let ends = async {
            server.write_all(b"last words").await.unwrap();
            drop(server);
            // Nobody takes this any more.
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
            let traffic = Traffic::default();
            let (mut client, mut server, tunnel) = tunnel(b"", b"", idle, &traffic);
            match half_close {
                "client" => client.shutdown().await.unwrap(),
                "server" => server.shutdown().await.unwrap(),
                _ => {}
            }
            let start = tokio::time::Instant::now();
            assert_eq!(tunnel.await, End::TunnelTimeout);
            assert_eq!(start.elapsed(), expected, "{idle:?} {half_close}");
        };
        let minute = Duration::from_mins(1);
        check(Some(minute), "", minute).await;
        check(None, "", LONG).await;
        check(Some(minute), "client", Duration::from_secs(7)).await;
        check(Some(minute), "server", Duration::from_secs(8)).await;
    }
}
