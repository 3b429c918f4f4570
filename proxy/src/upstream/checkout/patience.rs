//! How long a request goes on that no server can be reached for.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Backend;

/// The pauses of a request, and the time since it first tried to connect.
#[derive(Default)]
pub(super) struct Patience {
    pauses: Cell<u32>,
    /// When it first tried to connect.
    begin: Cell<Option<Instant>>,
}

impl Patience {
    /// Before an attempt to connect.
    pub(super) fn begin(&self) {
        if self.begin.get().is_none() {
            self.begin.set(Some(Instant::now()));
        }
    }

    /// Whether so much time has passed.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        self.begin
            .get()
            .is_some_and(|begin| begin.elapsed() > limit)
    }

    /// Waits, if there is to be another attempt.
    pub(super) async fn pause(&self, backend: &Backend, connect: Duration) -> bool {
        let retry = &backend.retry;
        // Half a pause to spare: all timers are a little late, and the last attempt is to be made.
        let limit = longest(backend, connect).saturating_sub(retry.pause / 2);
        let pauses = self.pauses.get();
        if !retry.on.connect || pauses >= retry.attempts || self.is_over(limit) {
            return false;
        }
        self.pauses.set(pauses + 1);
        tokio::time::sleep(retry.pause).await;
        true
    }
}

/// How long requests try servers that nothing is expected of: those that swallow packets are not
/// waited for again and again. `connect` is how long a connection may take to be made.
pub(super) fn longest(backend: &Backend, connect: Duration) -> Duration {
    let pauses = backend.retry.pause.saturating_mul(backend.retry.attempts);
    connect.max(pauses)
}
