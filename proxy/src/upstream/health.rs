//! Whether an endpoint could lately be connected to.
//!
//! Shared by all workers, in atomics: what one finds out, none of the others has to. Owned
//! by `endpoint::Endpoint`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint that could not be connected to gets no request, unless every other
/// is as bad.
///
/// A host that swallows packets then costs one request one `timeout.connect` in so long;
/// nginx's `fail_timeout` has the same default.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(10);

/// When the last attempt to connect failed, and whether a probe is under way.
#[derive(Debug)]
pub(super) struct Health {
    created: Instant,
    /// Milliseconds from `created` to the last failure, plus one; 0 if none has followed the
    /// last connection.
    failed: AtomicU64,
    /// A request is finding out whether it can be connected to again.
    probing: AtomicBool,
}

/// Whether a request may use an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing speaks against it.
    Up,
    /// It could not be connected to, long enough ago that one request may try.
    Due,
    /// It could not be connected to lately, or a request is trying.
    Down,
}

impl Health {
    pub(super) fn new() -> Health {
        Health {
            created: Instant::now(),
            failed: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    pub(super) fn condition(&self) -> Condition {
        if self.failed.load(Ordering::Relaxed) == 0 {
            Condition::Up
        } else if self.probing.load(Ordering::Relaxed) {
            Condition::Down
        } else {
            self.since_failure()
        }
    }

    /// As if nobody were probing.
    fn since_failure(&self) -> Condition {
        let Some(failed) = self.failed.load(Ordering::Relaxed).checked_sub(1) else {
            return Condition::Up;
        };
        let retry = self.created + Duration::from_millis(failed) + RETRY_AFTER;
        if Instant::now() < retry {
            Condition::Down
        } else {
            Condition::Due
        }
    }

    /// A connection was made.
    pub(super) fn connected(&self) {
        // Nearly always so already: then the line stays shared.
        if self.failed.load(Ordering::Relaxed) != 0 {
            self.failed.store(0, Ordering::Relaxed);
        }
    }

    /// No connection could be made.
    pub(super) fn failed(&self) {
        let age = self.created.elapsed().as_millis();
        let failed = u64::try_from(age).unwrap_or(u64::MAX).saturating_add(1);
        self.failed.store(failed, Ordering::Relaxed);
    }

    /// Whether the caller is the one who may probe; it calls [`end_probe`](Self::end_probe)
    /// once it knows more, or gives up.
    pub(super) fn try_probe(&self) -> bool {
        if self.probing.swap(true, Ordering::Acquire) {
            return false;
        }
        // Another's probe may have ended since the caller looked.
        let is_due = self.since_failure() == Condition::Due;
        if !is_due {
            self.end_probe();
        }
        is_due
    }

    pub(super) fn end_probe(&self) {
        self.probing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn down_after_a_failure_until_it_connects_or_time_passes() {
        let health = Health::new();
        assert_eq!(health.condition(), Condition::Up);
        health.failed();
        assert_eq!(health.condition(), Condition::Down);
        assert!(!health.try_probe());
        health.connected();
        assert_eq!(health.condition(), Condition::Up);
        health.failed();
        tokio::time::advance(RETRY_AFTER).await;
        assert_eq!(health.condition(), Condition::Due);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time() {
        let health = Health::new();
        health.failed();
        tokio::time::advance(RETRY_AFTER).await;
        assert!(health.try_probe());
        assert_eq!(health.condition(), Condition::Down);
        assert!(!health.try_probe());
        // Given up: nothing was learnt, and the next may try.
        health.end_probe();
        assert_eq!(health.condition(), Condition::Due);
        assert!(health.try_probe());
        // Failed: again nobody for a while.
        health.failed();
        health.end_probe();
        assert_eq!(health.condition(), Condition::Down);
        assert!(!health.try_probe());
        tokio::time::advance(RETRY_AFTER).await;
        assert!(health.try_probe());
        health.connected();
        health.end_probe();
        assert_eq!(health.condition(), Condition::Up);
    }
}
