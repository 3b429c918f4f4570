//! Response times of an endpoint: an average that rises immediately and decays with time (peak
//! EWMA, as in Finagle). A server that stalls is therefore avoided from its first late response on,
//! and is tried again later.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Time after which a response counts for about a third of its original weight.
const DECAY: Duration = Duration::from_secs(10);

/// Response times of an endpoint, as seen by one worker.
#[derive(Debug, Default)]
pub(super) struct Latency(Cell<Option<(f64, Instant)>>);

impl Latency {
    /// Returns the expected response time in seconds, or `None` before the first response.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        let (average, last) = self.0.get()?;
        Some(average * kept(last, now))
    }

    /// Records a response time.
    pub(super) fn observe(&self, latency: Duration, now: Instant) {
        let sample = latency.as_secs_f64();
        let average = match self.0.get() {
            Some((average, last)) if sample < average => {
                let kept = kept(last, now);
                average * kept + sample * (1.0 - kept)
            }
            _ => sample,
        };
        self.0.set(Some((average, now)));
    }

    /// Records a request that has failed after `latency`. A failure never lowers the average, so
    /// quick failures do not make a server seem fast.
    pub(super) fn observe_failure(&self, latency: Duration, now: Instant) {
        let known = self.seconds(now).unwrap_or(0.0);
        if latency.as_secs_f64() > known {
            self.observe(latency, now);
        }
    }
}

/// Returns the fraction of an average that still counts.
fn kept(last: Instant, now: Instant) -> f64 {
    let age = now.saturating_duration_since(last).as_secs_f64();
    (-age / DECAY.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn latency_rises_at_once_and_falls_slowly() {
        let latency = Latency::default();
        let seconds = || latency.seconds(Instant::now());
        assert_eq!(seconds(), None);
        let observe = |millis| {
            latency.observe(Duration::from_millis(millis), Instant::now());
            seconds().unwrap()
        };
        assert!((observe(10) - 0.01).abs() < 1e-9);
        assert!((observe(500) - 0.5).abs() < 1e-9);
        assert!((observe(10) - 0.5).abs() < 1e-9);
        // The average also decays without responses.
        tokio::time::advance(DECAY).await;
        let third = seconds().unwrap();
        assert!((0.15..0.2).contains(&third), "{third}");
        assert!((observe(10) - third).abs() < 0.01);
        tokio::time::advance(10 * DECAY).await;
        assert!(seconds().unwrap() < 0.001);
        assert!(observe(10) < 0.011);
        // An immediate failure does not count as a fast response.
        latency.observe_failure(Duration::from_millis(1), Instant::now());
        assert!(seconds().unwrap() > 0.009);
        latency.observe_failure(Duration::from_secs(2), Instant::now());
        assert!((seconds().unwrap() - 2.0).abs() < 1e-9);
    }
}
