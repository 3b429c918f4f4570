//! Idle connections to servers, and a limit on the number of a worker's connections.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Check, Connection, Open};
use super::http2::SharedConnections;
use super::server::Connected;
use crate::transport::buffer::BufferPool;
use crate::transport::io::Io;

/// Minimum idle time before a connection is closed to free a slot. A connection that has been idle
/// for less may be used again soon. If a server is at its limit, closing such connections would
/// cost a new connection for each request.
const MIN_RECLAIM_AGE: Duration = Duration::from_millis(100);

/// Maximum number of connections of retired pools that are closed in one go. Closing them takes
/// well under a millisecond.
const MAX_CLOSED: usize = 32;

/// A worker's connections to servers, in use or idle, and the pools of the idle ones. The budget
/// limits their number, so that they never take the descriptors that clients need.
#[derive(Debug)]
pub struct ConnectionBudget {
    open: Rc<Cell<usize>>,
    /// Number of connections from which on each new connection replaces an idle one.
    limit: usize,
    pools: RefCell<Vec<Weak<Pool>>>,
    /// Pools of endpoints that are gone, whose connections are being closed.
    retired: RefCell<Vec<Rc<Pool>>>,
    /// Buffers for the worker's connections.
    buffers: BufferPool,
    /// Number of pools at which the next new pool triggers a purge of dropped pools.
    next_purge: Cell<usize>,
}

/// Minimum number of pools for a purge. With fewer pools, a purge is not worthwhile.
const MIN_PURGE: usize = 64;

impl ConnectionBudget {
    /// Creates a budget. `limit` is the worker's share of `max_connections`, and `buffers` are the
    /// worker's buffers.
    pub fn new(limit: usize, buffers: BufferPool) -> Rc<ConnectionBudget> {
        Rc::new(ConnectionBudget {
            open: Rc::default(),
            limit,
            pools: RefCell::default(),
            retired: RefCell::default(),
            buffers,
            next_purge: Cell::new(MIN_PURGE),
        })
    }

    /// Creates a connection that counts against this budget.
    pub(super) fn connection(&self, io: Io, connected: Connected) -> Box<Connection> {
        Connection::new(io, &self.buffers, connected, self.open())
    }

    /// Returns a guard that counts a new connection.
    pub(super) fn open(&self) -> Open {
        Open::new(&self.open)
    }

    /// Frees memory that the connections do not need any more.
    pub(super) fn trim(&self) {
        self.buffers.trim();
    }

    /// Creates a pool whose connections count against this budget.
    pub(super) fn pool(&self) -> Rc<Pool> {
        let pool = Rc::new(Pool::default());
        let mut pools = self.pools.borrow_mut();
        if pools.len() >= self.next_purge.get() {
            pools.retain(|pool| pool.strong_count() > 0);
            // The next purge happens only once the number has doubled, so the amortized cost of a
            // new pool is constant.
            self.next_purge.set(MIN_PURGE.max(2 * pools.len()));
        }
        pools.push(Rc::downgrade(&pool));
        drop(pools);
        pool
    }

    /// Schedules the connections of a pool to be closed. Idle connections are closed gradually,
    /// since each close takes a system call. Connections in use are closed when they are returned.
    pub(super) fn retire(&self, pool: &Rc<Pool>) {
        pool.max_idle.set(None);
        self.retired.borrow_mut().push(Rc::clone(pool));
    }

    /// Closes some connections of retired pools. Returns whether more remain.
    pub fn close_retired(&self) -> bool {
        let mut retired = self.retired.borrow_mut();
        for _ in 0..MAX_CLOSED {
            let Some(last) = retired.last() else { break };
            if last.idle.borrow_mut().pop().is_none() {
                last.shared.set_max_idle(None);
                retired.pop();
            }
        }
        !retired.is_empty()
    }

    /// Closes the connection that has been idle longest, if the limit is reached.
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

/// One worker's idle connections to one endpoint, with the most recently used on top.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: RefCell<Vec<Idle>>,
    /// How long an unused connection is kept. `None`: unused connections are not kept.
    max_idle: Cell<Option<Duration>>,
    /// HTTP/2 connections, idle or not.
    pub(super) shared: SharedConnections,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    /// Changes how long unused connections are kept. With `None`, idle connections are closed
    /// immediately, and connections that are returned later are closed as well.
    pub(super) fn set_max_idle(&self, max_idle: Option<Duration>) {
        self.max_idle.set(max_idle);
        self.shared.set_max_idle(max_idle);
        if max_idle.is_none() {
            self.idle.take();
        }
    }

    /// Takes the most recently used connection that is still alive.
    pub(super) fn take(&self, check: Check) -> Option<Box<Connection>> {
        // The sweep closes connections that have been idle for too long, so the clock is not read
        // here.
        self.max_idle.get()?;
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.connection.is_alive(check) {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps `connection`, or closes it if the pool keeps no connections.
    pub(super) fn put(&self, connection: Box<Connection>, now: Instant) {
        if self.max_idle.get().is_some() {
            self.idle.borrow_mut().push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Returns when the connection that has been idle longest became idle, over both HTTP versions.
    fn idle_since(&self) -> Option<Instant> {
        let first = self.first_put();
        first.into_iter().chain(self.shared.idle_since()).min()
    }

    fn first_put(&self) -> Option<Instant> {
        self.idle.borrow().first().map(|idle| idle.since)
    }

    fn drop_oldest(&self) {
        if self.shared.idle_since().is_some_and(|since| {
            let first = self.first_put();
            first.is_none_or(|first| since < first)
        }) {
            self.shared.drop_oldest();
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
        }
    }

    /// Closes connections that are dead or have been idle for too long.
    pub(super) fn sweep(&self) {
        self.shared.sweep();
        let max_idle = self.max_idle.get().unwrap_or_default();
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            let now = Instant::now();
            idle.retain_mut(|idle| idle.is_usable(now, max_idle));
        }
    }
}

impl Pool {
    /// Closes the connection that has been idle longest, unless it was in use a moment ago.
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

/// Number of connections that [`Pool::reclaim`] has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reclaimed {
    One,
    None,
}

impl Idle {
    fn is_usable(&mut self, now: Instant, max_idle: Duration) -> bool {
        now.duration_since(self.since) < max_idle && self.connection.is_alive(Check::Events)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::UnixStream;

    use super::*;
    use crate::config::ServerAddress;
    use crate::transport::io::Socket;
    use crate::upstream::server::Server;
    use crate::upstream::shared::Shared;
    use crate::upstream::wake::Wake;

    fn pool(budget: &ConnectionBudget) -> Rc<Pool> {
        let pool = budget.pool();
        pool.set_max_idle(Some(Duration::from_secs(30)));
        pool
    }

    /// Returns a connection and its far end.
    fn connection(budget: &Rc<ConnectionBudget>) -> (Box<Connection>, UnixStream) {
        let address = ServerAddress::Unix("/".into());
        let shared = Arc::new(Shared::new("b", Wake::default()));
        let server = Arc::new(Server::new("a", &address, &shared, 1));
        let (near, far) = UnixStream::pair().unwrap();
        let connection = budget.connection(Io::plain(Socket::Unix(near)), server.connected());
        (connection, far)
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_kept_as_long_as_is_configured() {
        let budget = ConnectionBudget::new(9, BufferPool::default());
        let pool = pool(&budget);
        let (one, _far) = connection(&budget);
        pool.put(one, Instant::now());
        tokio::time::advance(Duration::from_secs(29)).await;
        pool.sweep();
        let one = pool.take(Check::Socket).unwrap();
        pool.put(one, Instant::now());
        // A shorter limit also applies to connections that are already in the pool.
        pool.set_max_idle(Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        pool.sweep();
        assert!(pool.take(Check::Events).is_none());
        assert_eq!(budget.open.get(), 0);
    }

    #[tokio::test]
    async fn a_pool_that_keeps_nothing_closes_all_connections() {
        let budget = ConnectionBudget::new(9, BufferPool::default());
        let pool = pool(&budget);
        let (idle, _far) = connection(&budget);
        pool.put(idle, Instant::now());
        let (in_use, _other) = connection(&budget);
        pool.set_max_idle(None);
        assert_eq!(budget.open.get(), 1);
        pool.put(in_use, Instant::now());
        assert_eq!(budget.open.get(), 0);
    }

    #[tokio::test]
    async fn a_close_without_an_event_is_found_by_a_check() {
        let budget = ConnectionBudget::new(9, BufferPool::default());
        let pool = pool(&budget);
        let (one, far) = connection(&budget);
        pool.put(one, Instant::now());
        // The poller does not run before the check, so it reports no event.
        drop(far);
        assert!(pool.take(Check::Socket).is_none());
    }

    #[test]
    fn dropped_pools_are_forgotten() {
        let budget = ConnectionBudget::new(9, BufferPool::default());
        let kept = budget.pool();
        for _ in 0..10 * MIN_PURGE {
            budget.pool();
        }
        assert!(budget.pools.borrow().len() <= MIN_PURGE);
        drop(kept);
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_idle_longest_makes_room() {
        let budget = ConnectionBudget::new(2, BufferPool::default());
        let (first, second) = (pool(&budget), pool(&budget));
        let mut peers = Vec::new();
        let mut dial = || {
            budget.make_room();
            let (connection, far) = connection(&budget);
            peers.push(far);
            connection
        };
        second.put(dial(), Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        first.put(dial(), Instant::now());
        assert_eq!(budget.open.get(), 2);
        let in_use = dial();
        assert_eq!(budget.open.get(), 2);
        assert!(second.idle.borrow().is_empty(), "the older one was here");
        let another = dial();
        assert_eq!(budget.open.get(), 2);
        assert!(first.idle.borrow().is_empty());
        // Connections in use are never closed.
        let third = dial();
        assert_eq!(budget.open.get(), 3);
        drop((in_use, another, third));
        assert_eq!(budget.open.get(), 0);
    }
}
