//! Servers, as all workers share them: their state and counters, whatever their addresses are.
//!
//! A [`Server`] keeps its identity over the changes that leave it the same machine. Made by `cluster`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::shared::Shared;
use crate::config::{ServerAddress, ServerState};
use crate::telemetry::{Countable, Counter, Ledger};

/// A configured server of a backend, whatever its addresses are.
#[derive(Debug)]
pub struct Server {
    pub(super) name: String,
    /// As configured.
    address: ServerAddress,
    /// Of its backend.
    pub(super) shared: Arc<Shared>,
    /// A [`ServerState`].
    state: AtomicU8,
    /// Connections to it, idle ones included.
    open: AtomicU32,
    /// One for each worker.
    counts: Arc<[Counts]>,
    /// Moving average of the time to a response's head, in microseconds; 0 before the first one, and
    /// until somebody wants to know.
    latency: AtomicU32,
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
    /// Requests that failed there, and were sent again.
    pub(super) retried: Counter,
    /// Changes of the condition of its endpoints. Only those of the first worker: any thread counts
    /// there, which is seldom.
    changes: AtomicU64,
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
    /// Requests that failed there, and were sent again.
    pub retried: u64,
    /// Changes of what checks and requests have found out about its addresses.
    pub changes: u64,
}

impl Server {
    /// A server for so many workers.
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

    /// Moving average of the time to a response's head, in microseconds; None before the first
    /// response. Taken from the first call of [`Cluster::measure`](super::Cluster::measure) on.
    pub fn latency(&self) -> Option<u32> {
        Some(self.latency.load(Ordering::Relaxed)).filter(|latency| *latency > 0)
    }

    /// Takes note of the time to a response's head. Of two at once one may be lost.
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

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address in the configuration.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Whether it takes requests.
    pub fn state(&self) -> ServerState {
        match self.state.load(Ordering::Relaxed) {
            0 => ServerState::Ready,
            1 => ServerState::Drain,
            _ => ServerState::Maintenance,
        }
    }

    /// Changes whether it takes requests; what it did before.
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

    /// Has workers look at the weights of its endpoints again.
    pub(super) fn weights_changed(&self) {
        self.shared.changed();
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

    /// Before it serves. Takes a lock: not for workers.
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

    /// Counts a new connection to it.
    pub(super) fn connected(self: &Arc<Server>) -> Connected {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Connections to it, idle ones included.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }
}

/// As the log, the metrics and the admin interface have it.
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

/// Counts a connection to this server while it lives, in use or idle.
#[derive(Debug)]
pub(super) struct Connected(Arc<Server>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
