//! Counters of a version.
//!
//! Each worker has separate counters on separate cache lines, and readers add them up. Owned by
//! `version`, written by `router`, read by the admin interface.

use std::sync::Arc;
use std::time::Duration;

use crate::config::StageId;
use crate::plugin::{Fault, LineBudget};
use crate::telemetry::{Countable, Counter, Ledger};

/// Upper bounds of the histogram's buckets, in nanoseconds. An additional bucket counts the calls
/// above the last bound.
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

/// Counters of every version of this process, including former ones, keyed by frontend and stage
/// name.
static ALL: Ledger<2, Stats> = Ledger::new();

/// Counters of one version.
#[derive(Debug)]
pub struct Stats {
    workers: Box<[Counters]>,
    lines: LineBudget,
}

/// Counters of one worker, which only that worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    cached: Counter,
    called: Counter,
    nanoseconds: Counter,
    buckets: [Counter; BUCKETS.len() + 1],
    faults: [Counter; Fault::KINDS.len()],
}

/// The sums over all workers at one point in time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Decisions that came from the cache.
    pub cached: u64,
    /// Calls of the plugin, including those that ended in a fault.
    pub called: u64,
    /// Total time of these calls.
    pub nanoseconds: u64,
    /// Calls by duration: one count for each of [`BUCKETS`], and one for longer calls.
    pub buckets: [u64; BUCKETS.len() + 1],
    /// Faults by kind, in the order of [`Fault::KINDS`].
    pub faults: [u64; Fault::KINDS.len()],
    /// Log lines of the plugin that were dropped.
    pub dropped_lines: u64,
}

impl Stats {
    /// Creates and registers the counters of a version of stage `stage`.
    pub(super) fn of_version(stage: &StageId, workers: usize, lines: &LineBudget) -> Arc<Stats> {
        let stats = Arc::new(Stats::new(workers, lines));
        ALL.book([&stage.frontend, &stage.name], &stats);
        stats
    }

    fn new(workers: usize, lines: &LineBudget) -> Stats {
        Stats {
            workers: (0..workers).map(|_| Counters::default()).collect(),
            lines: lines.clone(),
        }
    }

    /// Returns the totals of every version that this process has had, with the names of its
    /// frontend and its stage.
    pub fn of_all() -> Vec<([String; 2], Totals)> {
        ALL.totals()
    }

    pub(super) fn of(&self, worker: usize) -> &Counters {
        &self.workers[worker]
    }

    /// Returns the sums over all workers.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.add_to(&mut totals);
        totals
    }
}

impl Countable for Stats {
    type Totals = Totals;

    fn add_to(&self, totals: &mut Totals) {
        for counters in &self.workers {
            totals.cached += counters.cached.get();
            totals.called += counters.called.get();
            totals.nanoseconds += counters.nanoseconds.get();
            add(&mut totals.buckets, &counters.buckets);
            add(&mut totals.faults, &counters.faults);
        }
        totals.dropped_lines += self.lines.dropped();
    }
}

fn add(totals: &mut [u64], counters: &[Counter]) {
    for (total, counter) in totals.iter_mut().zip(counters) {
        *total += counter.get();
    }
}

impl Counters {
    pub(super) fn cached(&self) {
        self.cached.count();
    }

    pub(super) fn called(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.called.count();
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
        let stats = Stats::new(2, &LineBudget::default());
        stats.of(0).cached();
        for (worker, nanoseconds) in [(0, 1), (1, 1_000), (1, 1_001), (0, 200_000_000)] {
            stats.of(worker).called(Duration::from_nanos(nanoseconds));
        }
        stats.of(1).failed(&Fault::Deadline);
        let totals = stats.totals();
        assert_eq!((totals.cached, totals.called), (1, 4));
        assert_eq!(totals.nanoseconds, 200_002_002);
        assert_eq!(totals.buckets[..2], [2, 1]);
        assert_eq!(totals.buckets[BUCKETS.len()], 1);
        assert_eq!(totals.faults.iter().sum::<u64>(), 1);
    }
}
