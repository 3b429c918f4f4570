//! What a worker has seen of a server: whether it could lately be reached.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How long a server that could not be reached is tried after the others only.
///
/// Long enough that a machine that swallows packets costs one `timeout.connect` now and
/// then instead of one for each request; nginx's `fail_timeout` has the same default.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The last failure to connect, if none has worked since.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failed: Cell<Option<Instant>>,
}

impl Health {
    /// A connection was made.
    pub(crate) fn answered(&self) {
        self.failed.set(None);
    }

    /// No address of the server could be connected to.
    pub(crate) fn failed(&self) {
        self.failed.set(Some(Instant::now()));
    }

    /// Whether others are to be tried first.
    pub(crate) fn is_down(&self) -> bool {
        self.failed
            .get()
            .is_some_and(|failed| failed.elapsed() < RETRY_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn down_after_a_failure_until_it_answers_or_time_passes() {
        let health = Health::default();
        assert!(!health.is_down());
        health.failed();
        assert!(health.is_down());
        health.answered();
        assert!(!health.is_down());
        health.failed();
        tokio::time::advance(RETRY_AFTER).await;
        assert!(!health.is_down());
    }
}
