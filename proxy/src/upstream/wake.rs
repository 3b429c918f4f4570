//! Wakes the keeper, which lives on another thread.

use std::sync::Arc;

use tokio::sync::Notify;

/// A handle; a clone wakes the same one.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Something has changed.
    pub(super) fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits until something has changed since the last time.
    ///
    /// # Cancel safety
    /// Safe.
    pub(super) async fn notified(&self) {
        self.0.notified().await;
    }
}
