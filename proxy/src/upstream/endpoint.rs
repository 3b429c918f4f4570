//! Servers and their endpoints, as all workers share them.
//!
//! An [`Endpoint`] is one resolved address of a [`Server`]. Both keep their identity, with
//! their slots, counters and health, over the reloads that leave them as they are. Made by
//! `cluster`; a lease holds the endpoint itself.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::health::{Condition, Health};
use super::slots::{Slots, Taken};
use crate::config::ServerAddress;
use crate::telemetry::{Countable, Counter, Ledger};

/// Where a server listens, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A configured server of a backend, whatever its addresses are.
#[derive(Debug)]
pub struct Server {
    name: String,
    /// As configured.
    address: ServerAddress,
    slots: Slots,
    /// Connections to it, idle ones included.
    open: AtomicU32,
    /// One for each worker.
    counts: Arc<[Counts]>,
}

/// Counters of every server that was ever in force, by the names of backend and server.
static ALL: Ledger<2, [Counts]> = Ledger::new();

/// What one worker did with a server. Written by that worker alone, on a cache line of its
/// own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    pub(super) exchanges: Counter,
    pub(super) dialled: Counter,
    pub(super) refused: Counter,
}

/// Totals of a server, over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Requests and tunnels that it got.
    pub exchanges: u64,
    /// Connections made for them.
    pub dialled: u64,
    /// Connections that could not be made.
    pub refused: u64,
}

impl Server {
    /// A server for so many workers.
    pub(super) fn new(
        name: &str,
        address: &ServerAddress,
        limit: Option<NonZeroU32>,
        workers: usize,
    ) -> Server {
        Server {
            name: name.to_owned(),
            address: address.clone(),
            slots: Slots::new(limit),
            open: AtomicU32::new(0),
            counts: (0..workers).map(|_| Counts::default()).collect(),
        }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address in the configuration.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Its totals, over all workers.
    pub fn totals(&self) -> ServerTotals {
        let mut totals = ServerTotals::default();
        self.counts.add_to(&mut totals);
        totals
    }

    /// The totals of every server that this process has had, by the names of its backend and its
    /// own.
    pub fn totals_of_all() -> Vec<([String; 2], ServerTotals)> {
        ALL.totals()
    }

    /// Before it serves this backend. Takes a lock: not for workers.
    pub(super) fn book(&self, backend: &str) {
        ALL.book([backend, &self.name], &self.counts);
    }

    pub(super) fn counts(&self, worker: usize) -> &Counts {
        &self.counts[worker]
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether it has more connections than it may get requests at once: some of the idle
    /// ones may keep it from serving those that are in use.
    pub(super) fn is_crowded(&self) -> bool {
        let open = self.open.load(Ordering::Relaxed);
        self.slots.limit().is_some_and(|limit| open > limit.get())
    }

    /// Counts a new connection to it.
    pub(super) fn connected(self: &Arc<Server>) -> Connected {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// A permit for one request, if a slot is free.
    pub(super) fn try_permit(self: &Arc<Server>) -> Option<Permit> {
        Some(self.permit_for(self.slots.try_take()?))
    }

    /// Waits in line for a slot.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn permit(self: &Arc<Server>) -> Permit {
        self.permit_for(self.slots.take().await)
    }

    fn permit_for(self: &Arc<Server>, taken: Taken) -> Permit {
        // Without a limit no count of holders is kept, which all workers would share.
        Permit((taken == Taken::Slot).then(|| Arc::clone(self)))
    }
}

impl Countable for [Counts] {
    type Totals = ServerTotals;

    fn add_to(&self, totals: &mut ServerTotals) {
        for counts in self {
            totals.exchanges += counts.exchanges.get();
            totals.dialled += counts.dialled.get();
            totals.refused += counts.refused.get();
        }
    }
}

/// A slot of this server, where it has a limit; given back when dropped.
#[derive(Debug, Default)]
pub(super) struct Permit(Option<Arc<Server>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(server) = &self.0 {
            server.slots.release();
        }
    }
}

/// Counts a connection to this server while it lives, in use or idle.
#[derive(Debug)]
pub(super) struct Connected(Arc<Server>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells endpoints apart, for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// One resolved address of a server.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    server: Arc<Server>,
    address: Address,
    health: Health,
    /// One for each worker.
    loads: Box<[Load]>,
}

/// Requests one worker has in flight. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    active: Gauge,
}

/// A number that goes up and down, written by one thread.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU32);

impl Gauge {
    pub(super) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Only one thread writes: nothing can come between load and store.
    pub(super) fn raise(&self) {
        self.0.store(self.get().wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn lower(&self) {
        self.0.store(self.get().wrapping_sub(1), Ordering::Relaxed);
    }
}

impl Endpoint {
    /// An address of `server` that nothing is known of yet, for so many workers.
    pub(super) fn new(server: &Arc<Server>, address: Address, workers: usize) -> Endpoint {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Endpoint {
            id: EndpointId(IDS.fetch_add(1, Ordering::Relaxed)),
            server: Arc::clone(server),
            address,
            health: Health::new(),
            loads: (0..workers).map(|_| Load::default()).collect(),
        }
    }

    /// Which one it is.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Whose address it is.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it could lately be connected to.
    pub fn condition(&self) -> Condition {
        self.health.condition()
    }

    /// Requests and tunnels in progress, over all workers.
    pub fn active(&self) -> u32 {
        self.loads.iter().map(|load| load.active.get()).sum()
    }

    /// Requests and tunnels in progress, of one worker.
    pub(super) fn active_of(&self, worker: usize) -> &Gauge {
        &self.loads[worker].active
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }
}
