//! Circuit breaker: determines when a failing plugin is no longer called, and when it is tried
//! again.
//!
//! Shared by the workers without a lock. It consists of atomics, which a worker accesses only when
//! it is about to call the plugin. Owned by `version`; when the breaker opens, `control` rolls back
//! to an earlier version.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// First pause after the breaker opens.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause. The pause doubles with each probe that fails.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Circuit breaker of one version, over all workers.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Number of faults within `window` that open the breaker.
    max_faults: u64,
    window: Duration,
    epoch: Instant,
    /// Start of the current window, in milliseconds since `epoch`. `faults` counts the faults in
    /// the window.
    began: AtomicU64,
    faults: AtomicU64,
    /// Milliseconds since `epoch` after which one request may try the plugin; 0 if the breaker is
    /// closed.
    retry_at: AtomicU64,
    pause: AtomicU64,
}

/// Whether a request may call the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The request may call the plugin.
    Call,
    /// The request may call the plugin, to find out whether it works again.
    Probe,
    /// The request may not call the plugin, which had too many faults.
    Refuse,
}

impl Breaker {
    pub(super) fn new(max_faults: u32, window: Duration) -> Breaker {
        Breaker {
            max_faults: u64::from(max_faults.max(1)),
            window,
            epoch: Instant::now(),
            began: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            retry_at: AtomicU64::new(0),
            pause: AtomicU64::new(0),
        }
    }

    /// Decides whether a request may call the plugin.
    pub(super) fn admit(&self) -> Admission {
        let retry_at = self.retry_at.load(Ordering::Relaxed);
        if retry_at == 0 {
            return Admission::Call;
        }
        let now = self.now();
        if now < retry_at {
            return Admission::Refuse;
        }
        // Only one of the concurrent requests tries the plugin. The others are refused until that
        // request succeeds or the next pause ends.
        let next = now + self.pause.load(Ordering::Relaxed).max(1);
        let won = self
            .retry_at
            .compare_exchange(retry_at, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if won {
            Admission::Probe
        } else {
            Admission::Refuse
        }
    }

    /// Records a fault. Returns whether this fault opened the breaker.
    pub(super) fn failed(&self, admission: Admission) -> bool {
        let now = self.now();
        if admission == Admission::Probe {
            let pause = self.pause.load(Ordering::Relaxed) * 2;
            let pause = pause.min(millis(MAX_PAUSE));
            self.pause.store(pause, Ordering::Relaxed);
            self.retry_at.store(now + pause, Ordering::Relaxed);
            return false;
        }
        let began = self.began.load(Ordering::Relaxed);
        if now.saturating_sub(began) > millis(self.window) {
            self.began.store(now, Ordering::Relaxed);
            self.faults.store(0, Ordering::Relaxed);
        }
        if self.faults.fetch_add(1, Ordering::Relaxed) + 1 < self.max_faults {
            return false;
        }
        self.open()
    }

    /// Opens the breaker, whatever the number of faults. Returns whether the breaker was closed
    /// before.
    pub(super) fn open(&self) -> bool {
        if self.is_open() {
            return false;
        }
        self.pause.store(millis(FIRST_PAUSE), Ordering::Relaxed);
        let retry_at = self.now() + millis(FIRST_PAUSE);
        self.retry_at
            .compare_exchange(0, retry_at, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Closes the breaker after a probe that succeeded.
    pub(super) fn close(&self) {
        self.faults.store(0, Ordering::Relaxed);
        self.retry_at.store(0, Ordering::Relaxed);
    }

    /// Returns whether the breaker is open, so that the plugin is not called.
    pub(super) fn is_open(&self) -> bool {
        self.retry_at.load(Ordering::Relaxed) != 0
    }

    /// Returns the milliseconds since `epoch`, plus one: 0 means that the breaker is closed.
    fn now(&self) -> u64 {
        millis(self.epoch.elapsed()) + 1
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker, times: u32) -> bool {
        (0..times).fold(false, |_, _| breaker.failed(breaker.admit()))
    }

    #[tokio::test(start_paused = true)]
    async fn opens_at_the_last_fault_of_a_window_and_says_so_once() {
        let breaker = Breaker::new(3, Duration::from_secs(10));
        assert!(!fail(&breaker, 2));
        assert_eq!(breaker.admit(), Admission::Call);
        assert!(fail(&breaker, 1));
        assert!(!breaker.failed(Admission::Call));
        assert_eq!(breaker.admit(), Admission::Refuse);
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn faults_of_an_earlier_window_do_not_count() {
        let breaker = Breaker::new(3, Duration::from_secs(10));
        assert!(!fail(&breaker, 2));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(!fail(&breaker, 2));
        assert!(fail(&breaker, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_tries_after_a_pause_that_grows() {
        let breaker = Breaker::new(1, Duration::from_secs(10));
        assert!(fail(&breaker, 1));
        let mut pause = FIRST_PAUSE;
        for _ in 0..8 {
            assert_eq!(breaker.admit(), Admission::Refuse, "{pause:?}");
            tokio::time::advance(pause).await;
            assert_eq!(breaker.admit(), Admission::Probe, "{pause:?}");
            assert_eq!(breaker.admit(), Admission::Refuse, "{pause:?}");
            assert!(!breaker.failed(Admission::Probe));
            pause = (pause * 2).min(MAX_PAUSE);
        }
        tokio::time::advance(pause).await;
        assert_eq!(breaker.admit(), Admission::Probe);
        breaker.close();
        assert_eq!(breaker.admit(), Admission::Call);
        assert!(!breaker.is_open());
    }

    /// If a probe never ends, another one follows after the pause.
    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_ends_is_followed_by_another() {
        let breaker = Breaker::new(1, Duration::from_secs(10));
        assert!(fail(&breaker, 1));
        for _ in 0..2 {
            tokio::time::advance(FIRST_PAUSE).await;
            assert_eq!(breaker.admit(), Admission::Probe);
        }
    }
}
