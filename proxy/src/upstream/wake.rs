//! Wakes the keeper, which runs on another thread.

use std::sync::Arc;

use tokio::sync::Notify;

/// A handle that wakes the keeper. Clones wake the same keeper.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Reports that something has changed.
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until a change is reported. Returns immediately if one has been reported since the
    /// last call.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn notified(&self) {
        self.0.notified().await;
    }
}
