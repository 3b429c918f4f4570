//! Servers, shared by all workers: their state and counters, independent of their addresses.
//!
//! A [`Server`] keeps its identity across changes for as long as it is the same machine. `cluster`
//! creates servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::shared::Shared;
use crate::config::{ServerAddress, ServerState};
use crate::telemetry::{Countable, Counter, Ledger};

/// A configured server of a backend, independent of its addresses.
#[derive(Debug)]
pub struct Server {
    pub(super) name: String,
    /// The configured address.
    address: ServerAddress,
    /// State that this server shares with the other servers of its backend.
    pub(super) shared: Arc<Shared>,
    /// A [`ServerState`], as a number.
    state: AtomicU8,
    /// Number of connections to the server, including idle ones.
    open: AtomicU32,
    /// Counters, one set for each worker.
    counts: Arc<[Counts]>,
    /// Moving average of the time until the head of a response arrives, in microseconds. 0 before
    /// the first response, and until response times are measured.
    latency: AtomicU32,
}

/// Counters of every server that has been in force since the process started, by the backend's name
/// and the server's name.
static ALL: Ledger<2, [Counts]> = Ledger::new();

/// Counters of one worker for a server. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    pub(super) exchanges: Counter,
    pub(super) dialled: Counter,
    pub(super) refused: Counter,
    /// Requests that failed at the server and were sent again.
    pub(super) retried: Counter,
    /// Number of changes to the condition of the server's endpoints. Only the first worker's
    /// counter is used, and any thread can increment it, since changes are rare.
    changes: AtomicU64,
}

/// Totals of a server, over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Number of requests and tunnels that went to the server.
    pub exchanges: u64,
    /// Number of connections established for requests and tunnels.
    pub dialled: u64,
    /// Number of connections that could not be established.
    pub refused: u64,
    /// Number of requests that failed at the server and were sent again.
    pub retried: u64,
    /// Number of changes to the condition of the server's endpoints, as found by checks and
    /// requests.
    pub changes: u64,
}

impl Server {
    /// Creates a server for this number of workers.
    pub(super) fn new(
        name: &str,
        address: &ServerAddress,
        shared: &Arc<Shared>,
        workers: usize,
    ) -> Server {
        Server {
            name: name.to_owned(),
            address: address.clone(),
            shared: Arc::clone(shared),
            state: AtomicU8::new(ServerState::Ready as u8),
            open: AtomicU32::new(0),
            counts: (0..workers).map(|_| Counts::default()).collect(),
            latency: AtomicU32::new(0),
        }
    }

    /// Returns the moving average of the time until the head of a response arrives, in
    /// microseconds, or `None` before the first response. Measurement starts with the first call of
    /// [`Cluster::measure`](super::Cluster::measure).
    pub fn latency(&self) -> Option<u32> {
        Some(self.latency.load(Ordering::Relaxed)).filter(|latency| *latency > 0)
    }

    /// Records the time until the head of a response arrived. If two threads call this at once, one
    /// value can be lost.
    pub(super) fn observe(&self, latency: Duration) {
        let sample = u32::try_from(latency.as_micros())
            .unwrap_or(u32::MAX)
            .max(1);
        let known = self.latency.load(Ordering::Relaxed);
        // A new sample has the same weight of 1/8 as in RFC 6298.
        let next = match known {
            0 => sample,
            _ => u32::try_from((u64::from(known) * 7 + u64::from(sample)) / 8).unwrap_or(u32::MAX),
        };
        self.latency.store(next.max(1), Ordering::Relaxed);
    }

    /// Returns the configured name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the configured address.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Returns the state, which determines which requests the server accepts.
    pub fn state(&self) -> ServerState {
        match self.state.load(Ordering::Relaxed) {
            0 => ServerState::Ready,
            1 => ServerState::Drain,
            _ => ServerState::Maintenance,
        }
    }

    /// Changes which requests the server accepts. Returns the previous state.
    pub(super) fn set_state(&self, state: ServerState) -> ServerState {
        let before = self.state();
        self.state.store(state as u8, Ordering::Relaxed);
        if before != state {
            self.shared.changed();
            tracing::info!(
                backend = &*self.shared.name,
                server = self.name,
                state = state_word(state),
                "server changed"
            );
        }
        before
    }

    /// Makes workers read the weights of the server's endpoints again.
    pub(super) fn weights_changed(&self) {
        self.shared.changed();
    }

    /// Returns the totals, over all workers.
    pub fn totals(&self) -> ServerTotals {
        let mut totals = ServerTotals::default();
        self.counts.add_to(&mut totals);
        totals
    }

    /// Returns the totals of every server since the process started, by the backend's name and the
    /// server's name.
    pub fn totals_of_all() -> Vec<([String; 2], ServerTotals)> {
        ALL.totals()
    }

    /// Books the counters in the ledger. Called before the server serves requests. Takes a lock, so
    /// workers must not call this.
    pub(super) fn book(&self) {
        ALL.book([&self.shared.name, &self.name], &self.counts);
    }

    pub(super) fn count_change(&self) {
        if let Some(first) = self.counts.first() {
            first.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self, worker: usize) -> &Counts {
        &self.counts[worker]
    }

    /// Returns a guard that counts a new connection.
    pub(super) fn connected(self: &Arc<Server>) -> Connected {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Returns the number of connections, including idle ones.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

/// Returns the word for a state in the log, the metrics and the admin interface.
pub fn state_word(state: ServerState) -> &'static str {
    match state {
        ServerState::Ready => "ready",
        ServerState::Drain => "draining",
        ServerState::Maintenance => "maintenance",
    }
}

impl Countable for [Counts] {
    type Totals = ServerTotals;

    fn add_to(&self, totals: &mut ServerTotals) {
        for counts in self {
            totals.exchanges += counts.exchanges.get();
            totals.dialled += counts.dialled.get();
            totals.refused += counts.refused.get();
            totals.retried += counts.retried.get();
            totals.changes += counts.changes.load(Ordering::Relaxed);
        }
    }
}

/// A guard that counts a connection to a server, in use or idle, for as long as the guard lives.
#[derive(Debug)]
pub(super) struct Connected(Arc<Server>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
