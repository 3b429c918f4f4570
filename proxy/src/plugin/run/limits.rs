//! How much memory an instance may have, and how much time a call.
//!
//! Consulted by wasmtime on each growth and when a deadline has passed. Knows nothing of
//! requests.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::ResourceLimiter;

use crate::plugin::compile::tunables::MAX_TABLE_ELEMENTS;

/// Bytes of linear memory over all memories of one instance.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimit {
    pub(super) fn new(limit: u64) -> Self {
        MemoryLimit {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            used: 0,
            refused: false,
        }
    }

    /// Bytes that the instance has now.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a growth was refused since the last call of this function.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_TABLE_ELEMENTS;
        self.refused |= !allowed;
        Ok(allowed)
    }
}

/// Smallest [`Overtime`], in processor time.
const MIN_OVERTIME: Duration = Duration::from_millis(1);

/// What a guest gets after its deadline, in processor time of its thread.
///
/// On a machine with more to do than cores a thread may be off them for longer than a
/// deadline, in the middle of a decision that takes a microsecond. So a passed deadline
/// ends a call only after the guest has had the processor for a tenth of it beyond.
/// Reading that clock takes a system call: only calls that are late pay for it.
#[derive(Debug)]
pub(super) struct Overtime {
    allowed: Duration,
    since: Option<Duration>,
}

impl Overtime {
    /// For a call of this deadline.
    pub(super) fn of(deadline: Duration) -> Self {
        Overtime {
            allowed: (deadline / 10).max(MIN_OVERTIME),
            since: None,
        }
    }

    /// Whether it is used up. The first question starts it.
    pub(super) fn is_over(&mut self) -> bool {
        self.is_over_at(thread_time())
    }

    fn is_over_at(&mut self, now: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_sub(since) >= self.allowed
    }
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    // A clock of the kernel is never negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overtime_counts_from_the_first_question() {
        let mut overtime = Overtime::of(Duration::from_millis(10));
        let check = |overtime: &mut Overtime, micros, expected| {
            assert_eq!(overtime.is_over_at(Duration::from_micros(micros)), expected);
        };
        check(&mut overtime, 700_000, false);
        check(&mut overtime, 700_999, false);
        check(&mut overtime, 701_000, true);
        let mut short = Overtime::of(Duration::from_millis(1));
        check(&mut short, 0, false);
        check(&mut short, 999, false);
        check(&mut short, 1000, true);
    }

    #[test]
    fn memories_count_together() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 50, None).unwrap());
        assert!(limit.take_refused());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert!(!limit.take_refused());
        assert_eq!(limit.used(), 100);
        assert!(!limit.memory_growing(60, usize::MAX, None).unwrap());
    }

    #[test]
    fn tables_are_bounded() {
        let mut limit = MemoryLimit::new(0);
        assert!(limit.table_growing(0, 20_000, None).unwrap());
        assert!(
            !limit
                .table_growing(0, MAX_TABLE_ELEMENTS + 1, None)
                .unwrap()
        );
        assert!(limit.take_refused());
    }
}
