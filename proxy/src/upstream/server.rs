//! Servers, shared by all workers: their state and counters, independent of their addresses.
//!
//! A [`Server`] keeps its identity across changes for as long as it is the same machine. Created by
//! `cluster`.

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
    /// State that it shares with the other servers of its backend.
    pub(super) shared: Arc<Shared>,
    /// A [`ServerState`].
    state: AtomicU8,
    /// Number of connections to it, including idle ones.
    open: AtomicU32,
    /// Counters, one set for each worker.
    counts: Arc<[Counts]>,
    /// Moving average of the time to the head of a response, in microseconds. 0 before the first
    /// response, and until response times are measured.
    latency: AtomicU32,
}

/// Counters of every server that was ever in force, by the names of backend and server.
static ALL: Ledger<2, [Counts]> = Ledger::new();

/// Counters of one worker for a server. Written by that worker alone, on its own cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counts {
    pub(super) exchanges: Counter,
    pub(super) dialled: Counter,
    pub(super) refused: Counter,
    /// Requests that failed there and were sent again.
    pub(super) retried: Counter,
    /// Changes of the condition of its endpoints. Used only in the first worker's counters, where
    /// any thread counts: changes are rare.
    changes: AtomicU64,
}

/// Totals of a server, over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTotals {
    /// Requests and tunnels that went to it.
    pub exchanges: u64,
    /// Connections established for them.
    pub dialled: u64,
    /// Connections that could not be established.
    pub refused: u64,
    /// Requests that failed there and were sent again.
    pub retried: u64,
    /// Changes of the condition of its addresses, as found by checks and requests.
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

    /// Returns the moving average of the time to the head of a response, in microseconds, or `None`
    /// before the first response. Measured from the first call of
    /// [`Cluster::measure`](super::Cluster::measure) on.
    pub fn latency(&self) -> Option<u32> {
        Some(self.latency.load(Ordering::Relaxed)).filter(|latency| *latency > 0)
    }

    /// Records the time to the head of a response. If two threads do so at once, one value can be
    /// lost.
    pub(super) fn observe(&self, latency: Duration) {
        let sample = u32::try_from(latency.as_micros())
            .unwrap_or(u32::MAX)
            .max(1);
        let known = self.latency.load(Ordering::Relaxed);
        // The weight that RFC 6298 gives to a new sample.
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

    /// Returns the state, which says whether the server accepts requests.
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

    /// Makes workers read the weights of its endpoints again.
    pub(super) fn weights_changed(&self) {
        self.shared.changed();
    }

    /// Returns the totals, over all workers.
    pub fn totals(&self) -> ServerTotals {
        let mut totals = ServerTotals::default();
        self.counts.add_to(&mut totals);
        totals
    }

    /// Returns the totals of every server since the process started, by the names of backend and
    /// server.
    pub fn totals_of_all() -> Vec<([String; 2], ServerTotals)> {
        ALL.totals()
    }

    /// Books the counters in the ledger, before the server serves. Takes a lock, so workers must
    /// not call it.
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

    /// Counts a new connection.
    pub(super) fn connected(self: &Arc<Server>) -> Connected {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Returns the number of connections, including idle ones.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

/// Returns the word for the log, the metrics and the admin interface.
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

/// Counts a connection to a server for as long as it lives, in use or idle.
#[derive(Debug)]
pub(super) struct Connected(Arc<Server>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
