//! Limits on the memory of an instance and the time of a call.
//!
//! wasmtime consults them on each growth of memory and at each epoch during a call. They do not
//! depend on requests.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use wasmtime::ResourceLimiter;

use super::ticker::TICK;
use crate::plugin::compile::tunables::MAX_TABLE_ELEMENTS;

/// Size of a table's element: a pointer.
const ELEMENT: usize = size_of::<usize>();

/// Memory accounting of one instance: its memories, its tables, and the host's data for it.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    refused: bool,
}

impl MemoryLimit {
    /// Creates a limit. `base` is the number of bytes that the host always keeps for the instance.
    pub(super) fn new(limit: u64, base: usize) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        MemoryLimit {
            limit,
            used: base,
            refused: base > limit,
        }
    }

    /// Returns the number of bytes that the instance occupies now.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns whether the instance exceeds its limit before it has even started.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used > self.limit
    }

    /// Returns whether a growth was refused since the previous call to this function.
    pub(super) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        let is_allowed = used <= self.limit;
        if is_allowed {
            self.used = used;
        }
        self.refused |= !is_allowed;
        is_allowed
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE_ELEMENTS {
            self.refused = true;
            return Ok(false);
        }
        let elements = desired.saturating_sub(current);
        Ok(self.grow(elements.saturating_mul(ELEMENT)))
    }
}

/// Wall-clock limit of a call, as a multiple of its deadline.
///
/// A guest that waits for a timer causes a fault at once, so a call is off the processor only
/// because of other threads. Even with twenty busy threads per core, a call still gets its full
/// deadline.
const WALL_CLOCK_FACTOR: u32 = 20;

/// Time that a call may take, measured as processor time of its thread.
///
/// On an overloaded machine, a thread can be off its core for longer than a deadline, even during a
/// decision that takes only a microsecond. Reading a thread's clock takes a system call, so only
/// calls that outlast an epoch pay for it.
#[derive(Debug)]
pub(super) struct Deadline {
    allowed: Duration,
    first: Option<(Duration, Instant)>,
}

impl Deadline {
    pub(super) fn of(allowed: Duration) -> Self {
        Deadline {
            allowed,
            first: None,
        }
    }

    /// Returns whether the call has exceeded its limit. Called at each epoch that ends during the
    /// call.
    pub(super) fn is_over(&mut self) -> bool {
        self.is_over_at(thread_time(), Instant::now())
    }

    fn is_over_at(&mut self, processor: Duration, wall: Instant) -> bool {
        let (first_processor, first_wall) = *self.first.get_or_insert((processor, wall));
        // The first check normally comes one to two epochs after the start of the call, so one
        // epoch (at most half the limit) is added for the time before it. This overstates the time
        // by at most one epoch: by a full epoch if a late ticker counts two epochs at once.
        let before = TICK.min(self.allowed / 2);
        let used = processor.saturating_sub(first_processor) + before;
        let passed = wall.saturating_duration_since(first_wall);
        used >= self.allowed || passed >= self.allowed.saturating_mul(WALL_CLOCK_FACTOR)
    }
}

/// Returns the processor time of this thread.
pub(super) fn thread_time() -> Duration {
    // A kernel clock is never negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_processor_time() {
        let start = Instant::now();
        let check = |deadline: &mut Deadline, processor, wall, expected| {
            let micros = Duration::from_micros;
            let over = deadline.is_over_at(micros(processor), start + micros(wall));
            assert_eq!(over, expected, "{processor} {wall}");
        };
        let mut deadline = Deadline::of(Duration::from_millis(10));
        check(&mut deadline, 700_000, 2_000, false);
        check(&mut deadline, 700_000, 150_000, false);
        check(&mut deadline, 708_999, 150_000, false);
        check(&mut deadline, 709_000, 150_000, true);
        let mut short = Deadline::of(Duration::from_millis(1));
        check(&mut short, 0, 1_000, false);
        check(&mut short, 499, 9_000, false);
        check(&mut short, 500, 9_000, true);
    }

    #[test]
    fn wall_clock_time_is_the_last_resort() {
        let start = Instant::now();
        let mut deadline = Deadline::of(Duration::from_millis(10));
        assert!(!deadline.is_over_at(Duration::ZERO, start));
        let last = start + Duration::from_millis(10) * WALL_CLOCK_FACTOR;
        assert!(!deadline.is_over_at(Duration::ZERO, last - TICK));
        assert!(deadline.is_over_at(Duration::ZERO, last));
    }

    #[test]
    fn memories_tables_and_the_hosts_part_count_together() {
        let mut limit = MemoryLimit::new(200, 100);
        assert!(!limit.is_exceeded());
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(!limit.memory_growing(0, 50, None).unwrap());
        assert!(limit.take_refused());
        assert!(limit.table_growing(0, 5, None).unwrap());
        assert!(!limit.take_refused());
        assert_eq!(limit.used(), 200);
        assert!(!limit.table_growing(5, 6, None).unwrap());
        assert!(!limit.memory_growing(60, usize::MAX, None).unwrap());
        assert!(limit.take_refused());
        assert!(MemoryLimit::new(99, 100).is_exceeded());
    }

    #[test]
    fn tables_are_bounded() {
        let mut limit = MemoryLimit::new(u64::MAX, 0);
        assert!(limit.table_growing(0, 20_000, None).unwrap());
        let beyond = MAX_TABLE_ELEMENTS + 1;
        assert!(!limit.table_growing(0, beyond, None).unwrap());
        assert!(limit.take_refused());
    }
}
