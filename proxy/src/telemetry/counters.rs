//! Counters for metrics.
//!
//! Each worker has separate counters, on a separate cache line. The reader of a metric adds them
//! up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ledger::{Countable, Ledger};

/// A counter that one thread writes and any thread can read. With one writer, no atomic
/// read-modify-write is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// Returns the current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Responses of a frontend, over all workers.
#[derive(Debug)]
pub struct ResponseCounts(Box<[Counts]>);

/// Counters by the first digit of the status: the first counter is for 1xx.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts([Counter; 5]);

/// Responses of every frontend since the process started.
static ALL: Ledger<1, ResponseCounts> = Ledger::new();

impl ResponseCounts {
    /// Creates counters, for this number of workers, for a frontend that has come into force.
    pub fn of(frontend: &str, workers: usize) -> Arc<ResponseCounts> {
        let response_counts = Arc::new(ResponseCounts::new(workers));
        ALL.book([frontend], &response_counts);
        response_counts
    }

    fn new(workers: usize) -> ResponseCounts {
        ResponseCounts((0..workers).map(|_| Counts::default()).collect())
    }

    /// Returns the response counts of every frontend since the process started, by the frontend's
    /// name.
    pub fn of_all() -> Vec<([String; 1], [u64; 5])> {
        ALL.totals()
    }

    /// Counts a response of `worker`. For any one worker, this must always be called from the same
    /// thread.
    pub fn count(&self, worker: usize, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.0[worker].0.get(class) {
            counter.count();
        }
    }

    /// Returns the number of responses in each class: 1xx, 2xx, 3xx, 4xx and 5xx.
    pub fn totals(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.0.iter().map(|counts| counts.0[class].get()).sum())
    }
}

/// TLS handshakes of a frontend, over all workers.
#[derive(Debug)]
pub struct Handshakes(Box<[HandshakeCounts]>);

/// Counters in the order of [`HandshakeOutcome`].
#[derive(Debug, Default)]
#[repr(align(128))]
struct HandshakeCounts([Counter; 3]);

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A new session was established.
    Full,
    /// An earlier session was resumed.
    Resumed,
    /// No session was established.
    Failed,
}

/// Handshakes of every frontend since the process started.
static ALL_HANDSHAKES: Ledger<1, Handshakes> = Ledger::new();

impl Handshakes {
    /// Names of the outcomes, in the order of their counters.
    pub const OUTCOMES: [&str; 3] = ["full", "resumed", "failed"];

    /// Creates counters, for this number of workers, for a frontend that has come into force.
    pub fn of(frontend: &str, workers: usize) -> Arc<Handshakes> {
        let counts = (0..workers).map(|_| HandshakeCounts::default());
        let handshakes = Arc::new(Handshakes(counts.collect()));
        ALL_HANDSHAKES.book([frontend], &handshakes);
        handshakes
    }

    /// Returns the handshake counts of every frontend since the process started, by the frontend's
    /// name.
    pub fn of_all() -> Vec<([String; 1], [u64; 3])> {
        ALL_HANDSHAKES.totals()
    }

    /// Counts a handshake of `worker`. For any one worker, this must always be called from the same
    /// thread.
    pub fn count(&self, worker: usize, outcome: HandshakeOutcome) {
        self.0[worker].0[outcome as usize].count();
    }
}

/// Certificate orders for a `[tls.NAME]`.
#[derive(Debug, Default)]
pub struct CertificateOrders([Counter; 2]);

/// How a certificate order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderOutcome {
    /// A certificate was obtained.
    Obtained,
    /// No certificate was obtained.
    Failed,
}

/// Orders of every site since the process started.
static ALL_ORDERS: Ledger<1, CertificateOrders> = Ledger::new();

impl CertificateOrders {
    /// Names of the outcomes, in the order of their counters.
    pub const OUTCOMES: [&str; 2] = ["obtained", "failed"];

    /// Creates counters for a site that has come into force.
    pub fn of(tls: &str) -> Arc<CertificateOrders> {
        let orders = Arc::default();
        ALL_ORDERS.book([tls], &orders);
        orders
    }

    /// Returns the order counts of every site since the process started, by the site's name.
    pub fn of_all() -> Vec<([String; 1], [u64; 2])> {
        ALL_ORDERS.totals()
    }

    /// Counts an order. Only one thread at a time may call this.
    pub fn count(&self, outcome: OrderOutcome) {
        self.0[outcome as usize].count();
    }
}

impl Countable for CertificateOrders {
    type Totals = [u64; 2];

    fn add_to(&self, totals: &mut [u64; 2]) {
        for (total, count) in totals.iter_mut().zip(&self.0) {
            *total += count.get();
        }
    }
}

impl Countable for Handshakes {
    type Totals = [u64; 3];

    fn add_to(&self, totals: &mut [u64; 3]) {
        for counts in &self.0 {
            for (total, count) in totals.iter_mut().zip(&counts.0) {
                *total += count.get();
            }
        }
    }
}

impl Countable for ResponseCounts {
    type Totals = [u64; 5];

    fn add_to(&self, totals: &mut [u64; 5]) {
        for (total, more) in totals.iter_mut().zip(self.totals()) {
            *total += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_by_class() {
        let response_counts = ResponseCounts::new(2);
        for (worker, status) in [(0, 101), (1, 200), (0, 204), (1, 599), (0, 999)] {
            response_counts.count(worker, status);
        }
        // Status 999 belongs to no class.
        assert_eq!(response_counts.totals(), [1, 2, 0, 0, 1]);
    }
}
