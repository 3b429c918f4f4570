//! Counts, for who collects metrics.
//!
//! Each worker counts for itself, on a cache line of its own; who asks sums up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ledger::{Countable, Ledger};

/// A count that one thread writes and any may read: no read-modify-write is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a frontend has answered, over all workers.
#[derive(Debug)]
pub struct Answers(Box<[Counts]>);

/// By the first digit of the status, from 1.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts([Counter; 5]);

/// The answers of every frontend that there ever was.
static ALL: Ledger<1, Answers> = Ledger::new();

impl Answers {
    /// Those of a frontend that has come into force, for so many workers.
    pub fn of(frontend: &str, workers: usize) -> Arc<Answers> {
        let answers = Arc::new(Answers::new(workers));
        ALL.book([frontend], &answers);
        answers
    }

    fn new(workers: usize) -> Answers {
        Answers((0..workers).map(|_| Counts::default()).collect())
    }

    /// The answers of every frontend that this process has had, by its name.
    pub fn of_all() -> Vec<([String; 1], [u64; 5])> {
        ALL.totals()
    }

    /// Counts one, of a worker that counts from one thread alone.
    pub fn count(&self, worker: usize, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.0[worker].0.get(class) {
            counter.count();
        }
    }

    /// So many of 1xx, 2xx, 3xx, 4xx and 5xx.
    pub fn totals(&self) -> [u64; 5] {
        std::array::from_fn(|class| self.0.iter().map(|counts| counts.0[class].get()).sum())
    }
}

/// The TLS handshakes of a frontend, over all workers.
#[derive(Debug)]
pub struct Handshakes(Box<[HandshakeCounts]>);

/// In the order of [`HandshakeOutcome`].
#[derive(Debug, Default)]
#[repr(align(128))]
struct HandshakeCounts([Counter; 3]);

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// A new session.
    Full,
    /// An earlier session goes on.
    Resumed,
    /// No session.
    Failed,
}

/// The handshakes of every frontend that there ever was.
static ALL_HANDSHAKES: Ledger<1, Handshakes> = Ledger::new();

impl Handshakes {
    /// The names of the outcomes, in the order of their counts.
    pub const OUTCOMES: [&str; 3] = ["full", "resumed", "failed"];

    /// Those of a frontend that has come into force, for so many workers.
    pub fn of(frontend: &str, workers: usize) -> Arc<Handshakes> {
        let counts = (0..workers).map(|_| HandshakeCounts::default());
        let handshakes = Arc::new(Handshakes(counts.collect()));
        ALL_HANDSHAKES.book([frontend], &handshakes);
        handshakes
    }

    /// The handshakes of every frontend that this process has had, by its name.
    pub fn of_all() -> Vec<([String; 1], [u64; 3])> {
        ALL_HANDSHAKES.totals()
    }

    /// Counts one, of a worker that counts from one thread alone.
    pub fn count(&self, worker: usize, outcome: HandshakeOutcome) {
        self.0[worker].0[outcome as usize].count();
    }
}

/// Orders of certificates for a `[tls.NAME]`.
#[derive(Debug, Default)]
pub struct CertificateOrders([Counter; 2]);

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderOutcome {
    /// With a certificate.
    Obtained,
    /// Without.
    Failed,
}

/// The orders of every site that there ever was.
static ALL_ORDERS: Ledger<1, CertificateOrders> = Ledger::new();

impl CertificateOrders {
    /// The names of the outcomes, in the order of their counts.
    pub const OUTCOMES: [&str; 2] = ["obtained", "failed"];

    /// Those of a site that has come into force.
    pub fn of(tls: &str) -> Arc<CertificateOrders> {
        let orders = Arc::default();
        ALL_ORDERS.book([tls], &orders);
        orders
    }

    /// The orders of every site that this process has had, by its name.
    pub fn of_all() -> Vec<([String; 1], [u64; 2])> {
        ALL_ORDERS.totals()
    }

    /// Counts one, from one thread alone.
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

impl Countable for Answers {
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
    fn answers_are_counted_by_class() {
        let answers = Answers::new(2);
        for (worker, status) in [(0, 101), (1, 200), (0, 204), (1, 599), (0, 999)] {
            answers.count(worker, status);
        }
        // 999 is of no class.
        assert_eq!(answers.totals(), [1, 2, 0, 0, 1]);
    }
}
