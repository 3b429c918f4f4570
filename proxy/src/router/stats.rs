//! Counters of a version.
//!
//! Each worker has its own, on cache lines of its own; readers sum them up. Owned by
//! `version`, written by `router`, read by the admin interface.

use std::time::Duration;

use crate::plugin::Fault;
use crate::telemetry::Counter;

/// Upper bounds of the histogram's buckets, in nanoseconds; above the last is one more.
pub const BUCKETS: [u64; 14] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    100_000_000,
];

/// Counters of one version.
#[derive(Debug)]
pub struct Stats(Box<[Counters]>);

/// Counters of one worker, which alone writes them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    cached: Counter,
    asked: Counter,
    nanoseconds: Counter,
    buckets: [Counter; BUCKETS.len() + 1],
    faults: [Counter; Fault::KINDS.len()],
}

/// The sum over all workers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Decisions that came from the cache.
    pub cached: u64,
    /// Calls of the plugin, faults included.
    pub asked: u64,
    /// Time that these calls took together.
    pub nanoseconds: u64,
    /// Calls by the time they took: one count for each of [`BUCKETS`], and those above.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Faults by [`Fault::KINDS`].
    pub faults: [u64; Fault::KINDS.len()],
}

impl Stats {
    pub(super) fn new(workers: usize) -> Stats {
        Stats((0..workers).map(|_| Counters::default()).collect())
    }

    pub(super) fn of(&self, worker: usize) -> &Counters {
        &self.0[worker]
    }

    /// The sums over all workers.
    pub fn totals(&self) -> Totals {
        let sum = |counter: &dyn Fn(&Counters) -> &Counter| {
            self.0.iter().map(|counters| counter(counters).get()).sum()
        };
        Totals {
            cached: sum(&|counters| &counters.cached),
            asked: sum(&|counters| &counters.asked),
            nanoseconds: sum(&|counters| &counters.nanoseconds),
            buckets: std::array::from_fn(|index| sum(&|counters| &counters.buckets[index])),
            faults: std::array::from_fn(|index| sum(&|counters| &counters.faults[index])),
        }
    }
}

impl Counters {
    pub(super) fn cached(&self) {
        self.cached.count();
    }

    pub(super) fn asked(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.asked.count();
        self.nanoseconds.add(took);
        let bucket = BUCKETS.partition_point(|&bound| bound < took);
        self.buckets[bucket].count();
    }

    pub(super) fn failed(&self, fault: &Fault) {
        let kind = Fault::KINDS.iter().position(|&kind| kind == fault.kind());
        if let Some(kind) = kind {
            self.faults[kind].count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_workers_and_sorts_by_time() {
        let stats = Stats::new(2);
        stats.of(0).cached();
        for (worker, nanoseconds) in [(0, 1), (1, 1_000), (1, 1_001), (0, 200_000_000)] {
            stats.of(worker).asked(Duration::from_nanos(nanoseconds));
        }
        stats.of(1).failed(&Fault::Deadline);
        let totals = stats.totals();
        assert_eq!((totals.cached, totals.asked), (1, 4));
        assert_eq!(totals.nanoseconds, 200_002_002);
        assert_eq!(totals.buckets[..2], [2, 1]);
        assert_eq!(totals.buckets[BUCKETS.len()], 1);
        assert_eq!(totals.faults.iter().sum::<u64>(), 1);
    }
}
