//! Limits on how long a request keeps trying while no server can be reached.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Backend;

/// The number of pauses of a request, and the time since its first connection attempt.
#[derive(Default)]
pub(super) struct Patience {
    pauses: Cell<u32>,
    /// Time of the first connection attempt.
    begin: Cell<Option<Instant>>,
}

impl Patience {
    /// Starts the clock unless it is already running. Called before each connection attempt.
    pub(super) fn begin(&self) {
        if self.begin.get().is_none() {
            self.begin.set(Some(Instant::now()));
        }
    }

    /// Returns whether more time than `limit` has passed.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        self.begin
            .get()
            .is_some_and(|begin| begin.elapsed() > limit)
    }

    /// Waits before another attempt, and returns true. Returns false without waiting if no other
    /// attempt is allowed.
    pub(super) async fn pause(&self, backend: &Backend, connect: Duration) -> bool {
        let retry = &backend.retry;
        // The limit leaves half a pause to spare before attempts must stop. All timers are a little
        // late, and without this margin the last attempt would be lost.
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

/// Returns how long a request keeps trying servers that are expected to fail. This also limits the
/// time that requests wait for servers that drop packets. `connect` is the time limit of a
/// connection attempt.
pub(super) fn longest(backend: &Backend, connect: Duration) -> Duration {
    let pauses = backend.retry.pause.saturating_mul(backend.retry.attempts);
    connect.max(pauses)
}
