//! Connections to servers: one in use, or idle for the next request.
//!
//! A [`Link`] has no task of its own: whoever holds it drives it, so that a request's
//! whole way is one task, and a response wakes just the connection that waits for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::body::RequestBody;
use super::endpoint::Connected;
use crate::stream::{Meter, Metered, Stream};

/// A connection idle for less than this may be about to be used again. At a server that is
/// at its limit, closing it would cost a new connection for each request.
const MIN_RECLAIM_AGE: Duration = Duration::from_millis(100);
/// Longest response head accepted. Twice what servers commonly allow themselves.
const MAX_HEAD: usize = 128 * 1024;

/// How many connections a worker has to servers, in use or idle, and where the idle ones
/// are: so that they never take the descriptors that clients need.
#[derive(Debug)]
pub struct ConnectionBudget {
    open: Cell<usize>,
    /// From here on an idle connection makes room for each new one.
    limit: usize,
    pools: RefCell<Vec<Weak<Pool>>>,
    /// Pools that there may be before those of endpoints that are gone are looked for.
    next_purge: Cell<usize>,
}

/// Fewer pools than this are not worth looking through.
const MIN_PURGE: usize = 64;

impl ConnectionBudget {
    /// `limit` is the worker's share of `max_connections`.
    pub fn new(limit: usize) -> Rc<ConnectionBudget> {
        Rc::new(ConnectionBudget {
            open: Cell::new(0),
            limit,
            pools: RefCell::default(),
            next_purge: Cell::new(MIN_PURGE),
        })
    }

    /// A pool whose connections count here.
    pub(super) fn pool(&self) -> Rc<Pool> {
        let pool = Rc::new(Pool::default());
        let mut pools = self.pools.borrow_mut();
        if pools.len() >= self.next_purge.get() {
            pools.retain(|pool| pool.strong_count() > 0);
            // Once for as many new ones as are left: the cost of each stays the same.
            self.next_purge.set(MIN_PURGE.max(2 * pools.len()));
        }
        pools.push(Rc::downgrade(&pool));
        drop(pools);
        pool
    }

    /// Closes the connection that has been idle longest, if there are too many.
    pub(super) fn make_room(&self) {
        if self.open.get() < self.limit {
            return;
        }
        let pools = self.pools.borrow();
        let oldest = pools
            .iter()
            .filter_map(Weak::upgrade)
            .filter_map(|pool| pool.idle_since().map(|since| (since, pool)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, pool)) = oldest {
            pool.drop_oldest();
        }
    }
}

/// Counts a connection while it lives.
#[derive(Debug)]
struct Open(Rc<ConnectionBudget>);

impl Open {
    fn new(budget: &Rc<ConnectionBudget>) -> Open {
        budget.open.set(budget.open.get() + 1);
        Open(Rc::clone(budget))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// An HTTP/1.1 connection to a server. Always in a box: it changes hands with every
/// exchange, and has a kilobyte of hyper's state in it.
pub struct Link {
    sender: http1::SendRequest<RequestBody>,
    http: http1::Connection<TokioIo<Metered>, RequestBody>,
    /// Its future is done and must not be polled again.
    ended: bool,
    /// No request may follow the present one.
    spoilt: bool,
    meter: Rc<Meter>,
    _open: Open,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("meter", &self.meter)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Speaks HTTP on a connected socket.
    pub(super) fn new(stream: Stream, budget: &Rc<ConnectionBudget>) -> Box<Link> {
        let meter = Rc::new(Meter::default());
        let io = TokioIo::new(Metered::new(stream, Rc::clone(&meter)));
        let mut builder = http1::Builder::new();
        builder.max_header_size(MAX_HEAD);
        // hyper's handshake for HTTP/1 exchanges no bytes and is ready at once.
        let handshake = std::pin::pin!(builder.handshake(io));
        let Poll::Ready(Ok((sender, http))) =
            handshake.poll(&mut Context::from_waker(Waker::noop()))
        else {
            unreachable!("an HTTP/1 handshake neither waits nor fails")
        };
        Box::new(Link {
            sender,
            http,
            ended: false,
            spoilt: false,
            meter,
            _open: Open::new(budget),
        })
    }

    /// What has passed through it.
    pub fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// Hands a request over; [`Link::poll_drive`] is what sends it.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.sender.try_send_request(request)
    }

    /// Moves bytes both ways; ready when the connection has ended. After that it stays so.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.http).poll(cx));
        self.ended = true;
        Poll::Ready(result)
    }

    /// After its last exchange no other may follow.
    pub fn spoil(&mut self) {
        self.spoilt = true;
    }

    /// Whether hyper could send another request at once.
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether another request may follow.
    pub(super) fn is_reusable(&self) -> bool {
        !self.spoilt && !self.ended
    }

    /// The socket, and what was read from it but is not HTTP's: for a tunnel.
    pub fn into_stream(self: Box<Self>) -> (Stream, Bytes) {
        let parts = self.http.into_parts();
        (parts.io.into_inner().into_stream(), parts.read_buf)
    }
}

/// The idle connections of one worker to one endpoint, the last used on top.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// How long a connection is kept without use; None: not at all.
    max_idle: Cell<Option<Duration>>,
}

#[derive(Debug)]
struct Idle {
    link: Box<Link>,
    connected: Connected,
    since: Instant,
}

impl Pool {
    /// Changes how long connections are kept. With None those that are idle are closed at
    /// once, and those that are put later too.
    pub(super) fn set_max_idle(&self, max_idle: Option<Duration>) {
        self.max_idle.set(max_idle);
        if max_idle.is_none() {
            self.idle.take();
        }
    }

    /// The last used connection that is still alive.
    pub(super) fn take(&self) -> Option<(Box<Link>, Connected)> {
        let max_idle = self.max_idle.get()?;
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.is_usable(Instant::now(), max_idle) {
                return Some((idle.link, idle.connected));
            }
        }
    }

    /// Keeps `link`, or closes it.
    pub(super) fn put(&self, link: Box<Link>, connected: Connected) {
        if self.max_idle.get().is_some() {
            self.idle.borrow_mut().push(Idle {
                link,
                connected,
                since: Instant::now(),
            });
        }
    }

    /// Since when the one that was put first has been here.
    fn idle_since(&self) -> Option<Instant> {
        self.idle.borrow().first().map(|idle| idle.since)
    }

    fn drop_oldest(&self) {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
        }
    }

    /// Closes what is dead or has been idle too long.
    pub(super) fn sweep(&self) {
        let max_idle = self.max_idle.get().unwrap_or_default();
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            let now = Instant::now();
            idle.retain_mut(|idle| idle.is_usable(now, max_idle));
        }
    }
}

impl Pool {
    /// Closes the one that has been idle longest, unless it was in use a moment ago.
    pub(super) fn reclaim(&self) -> Reclaimed {
        let is_old = |since: Instant| since.elapsed() >= MIN_RECLAIM_AGE;
        if self.idle_since().is_some_and(is_old) {
            self.drop_oldest();
            Reclaimed::One
        } else {
            Reclaimed::None
        }
    }
}

/// What [`Pool::reclaim`] has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reclaimed {
    One,
    None,
}

impl Idle {
    fn is_usable(&mut self, now: Instant, max_idle: Duration) -> bool {
        now.duration_since(self.since) < max_idle && self.link.is_alive()
    }
}

impl Link {
    /// Ends the exchange before, and notices a close by the server, without waiting.
    fn is_alive(&mut self) -> bool {
        self.poll_drive(&mut Context::from_waker(Waker::noop()))
            .is_pending()
            && self.sender.is_ready()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::UnixStream;

    use super::*;
    use crate::config::ServerAddress;
    use crate::upstream::endpoint::Server;

    fn pool(budget: &ConnectionBudget) -> Rc<Pool> {
        let pool = budget.pool();
        pool.set_max_idle(Some(Duration::from_secs(30)));
        pool
    }

    /// A connection with its far end.
    fn connection(budget: &Rc<ConnectionBudget>) -> (Box<Link>, Connected, UnixStream) {
        let address = ServerAddress::Unix("/".into());
        let server = Arc::new(Server::new("a", &address, None, 1));
        let (near, far) = UnixStream::pair().unwrap();
        let link = Link::new(Stream::Unix(near), budget);
        (link, server.connected(), far)
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_kept_as_long_as_is_configured() {
        let budget = ConnectionBudget::new(9);
        let pool = pool(&budget);
        let (link, connected, _far) = connection(&budget);
        pool.put(link, connected);
        tokio::time::advance(Duration::from_secs(29)).await;
        pool.sweep();
        let (link, connected) = pool.take().unwrap();
        pool.put(link, connected);
        // A shorter time counts for those that are there already.
        pool.set_max_idle(Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(pool.take().is_none());
        assert_eq!(budget.open.get(), 0);
    }

    #[tokio::test]
    async fn a_pool_that_keeps_nothing_closes_what_it_has_and_gets() {
        let budget = ConnectionBudget::new(9);
        let pool = pool(&budget);
        let (idle, connected, _far) = connection(&budget);
        pool.put(idle, connected);
        let (in_use, connected, _other) = connection(&budget);
        pool.set_max_idle(None);
        assert_eq!(budget.open.get(), 1);
        pool.put(in_use, connected);
        assert_eq!(budget.open.get(), 0);
    }

    #[test]
    fn pools_that_are_gone_are_forgotten() {
        let budget = ConnectionBudget::new(9);
        let kept = budget.pool();
        for _ in 0..10 * MIN_PURGE {
            budget.pool();
        }
        assert!(budget.pools.borrow().len() <= MIN_PURGE);
        drop(kept);
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_idle_longest_makes_room() {
        let budget = ConnectionBudget::new(2);
        let (first, second) = (pool(&budget), pool(&budget));
        let mut peers = Vec::new();
        let mut link = || {
            budget.make_room();
            let (link, connected, far) = connection(&budget);
            peers.push(far);
            (link, connected)
        };
        let put = |pool: &Pool, (link, connected)| pool.put(link, connected);
        put(&second, link());
        tokio::time::advance(Duration::from_secs(1)).await;
        put(&first, link());
        assert_eq!(budget.open.get(), 2);
        let in_use = link();
        assert_eq!(budget.open.get(), 2);
        assert!(second.idle.borrow().is_empty(), "the older one was here");
        let another = link();
        assert_eq!(budget.open.get(), 2);
        assert!(first.idle.borrow().is_empty());
        // What is in use is never closed.
        let third = link();
        assert_eq!(budget.open.get(), 3);
        drop((in_use, another, third));
        assert_eq!(budget.open.get(), 0);
    }
}
