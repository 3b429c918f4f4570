//! Limits how many lines a plugin can log per second, over all instances of a version.
//!
//! Lock-free, since the instances of all workers share the budget. Used by the parent module; the
//! version keeps a clone for its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::time::Instant;

/// Maximum number of lines per second; further lines are counted and dropped.
///
/// A terminal or journald can process more lines than this.
const MAX_LINES_PER_SECOND: u64 = 100;

/// One second, in milliseconds.
const SECOND: u64 = 1000;

/// Number of low bits of [`Budget::window`] that count the lines written in the window.
const COUNT_BITS: u32 = 8;

/// Budget of lines that one version of a plugin can log. Clones share the budget.
#[derive(Debug, Clone, Default)]
pub struct LineBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    epoch: Instant,
    /// The current window in one word. High bits: its start, in milliseconds since `epoch`. Low
    /// bits: number of lines written in it. A window starts with its first line.
    window: AtomicU64,
    dropped: AtomicU64,
    /// Number of dropped lines that have been reported.
    reported: AtomicU64,
    /// Time of the last report; 0 if there was none.
    last_report: AtomicU64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            epoch: Instant::now(),
            window: AtomicU64::new(MAX_LINES_PER_SECOND),
            dropped: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            last_report: AtomicU64::new(0),
        }
    }
}

impl Budget {
    /// Returns the milliseconds since `epoch`, plus one second. Without that second, the initial
    /// window, which starts at 0, would seem to be current.
    fn now(&self) -> u64 {
        let age = self.epoch.elapsed().as_millis();
        u64::try_from(age).unwrap_or(u64::MAX >> COUNT_BITS) + SECOND
    }
}

impl LineBudget {
    /// Takes up to `lines` lines from the budget and counts the others as dropped. Returns how many
    /// lines, counted from the first, may be written.
    pub(super) fn take(&self, lines: usize) -> usize {
        let lines = lines as u64;
        let Budget {
            window, dropped, ..
        } = &*self.0;
        let now = self.0.now();
        let mut granted = 0;
        // If the budget is used up, no write follows, so that all workers only read the shared
        // cache line.
        let _ = window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            let (mut start, mut written) = (window >> COUNT_BITS, window & ((1 << COUNT_BITS) - 1));
            if now >= start + SECOND {
                (start, written) = (now, 0);
            }
            granted = lines.min(MAX_LINES_PER_SECOND - written);
            (granted > 0).then_some(start << COUNT_BITS | (written + granted))
        });
        if granted < lines {
            dropped.fetch_add(lines - granted, Ordering::Relaxed);
        }
        usize::try_from(granted).unwrap_or(usize::MAX)
    }

    /// Counts lines as dropped without taking any from the budget.
    pub(super) fn drop_lines(&self, lines: usize) {
        if lines > 0 {
            self.0.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        }
    }

    /// Returns how many lines were dropped since the last report. None if there were none, or if
    /// the last report was less than a second ago.
    pub(super) fn take_report(&self) -> Option<u64> {
        let Budget {
            dropped,
            reported,
            last_report,
            ..
        } = &*self.0;
        let dropped = dropped.load(Ordering::Relaxed);
        if dropped == reported.load(Ordering::Relaxed) {
            return None;
        }
        let now = self.0.now();
        let last = last_report.load(Ordering::Relaxed);
        if now < last + SECOND {
            return None;
        }
        let order = Ordering::Relaxed;
        last_report.compare_exchange(last, now, order, order).ok()?;
        let before = reported.swap(dropped, Ordering::Relaxed);
        Some(dropped.saturating_sub(before))
    }

    /// Returns the total number of dropped lines.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_users_share_the_lines_of_a_second() {
        let budget = LineBudget::default();
        let other = budget.clone();
        assert_eq!(budget.take(60), 60);
        assert_eq!(other.take(60), 40);
        assert_eq!(budget.take(5), 0);
        assert_eq!(budget.dropped(), 25);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(budget.take(1), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(budget.take(1_000_000), 100);
        assert_eq!(budget.dropped(), 25 + 1 + 999_900);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(budget.take(1), 1);
        assert_eq!(budget.take(99), 99);
        assert_eq!(budget.take(1), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_lines_are_reported_once_a_second() {
        let budget = LineBudget::default();
        assert_eq!(budget.take_report(), None);
        budget.take(101);
        assert_eq!(budget.take_report(), Some(1));
        budget.take(7);
        assert_eq!(budget.take_report(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(budget.take_report(), Some(7));
        assert_eq!(budget.take_report(), None);
    }

    #[test]
    fn concurrent_threads_stay_within_the_budget() {
        const THREADS: usize = 8;
        const LINES: usize = 1000;
        let start = Instant::now();
        let budget = LineBudget::default();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..LINES).map(|_| budget.take(1)).sum::<usize>();
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        // On a slow machine, the number of windows can exceed the elapsed whole seconds by one.
        let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
        assert!(taken <= seconds * 100, "{taken} in {seconds} s");
        assert_eq!(budget.dropped(), (THREADS * LINES - taken) as u64);
    }
}
