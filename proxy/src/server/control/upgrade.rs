//! Another process takes over the sockets, and this one drains.

use super::{ChangeError, Control};
use crate::server::inheritance::Successor;
use crate::server::manager::{self, Phase};
use crate::worker::Order;

impl Control {
    /// Runs the program anew, which may be another by now, with the configuration as it is on
    /// disk. Once it serves, it has all sockets, and this process begins to drain; its number.
    ///
    /// # Errors
    /// [`ChangeError`]; then this process goes on.
    pub async fn upgrade(&self) -> Result<u32, ChangeError> {
        let _changing = self.changing().await?;
        let mut orders = self.0.order.subscribe();
        let sockets = self.state().sockets.all();
        let successor = Successor::start(&sockets)?;
        // Only the successor keeps them open, should this process stop.
        drop(sockets);
        let successor = tokio::select! {
            // Who is asked to stop is this process, and what it has started: its sockets' files
            // are going already.
            biased;
            _ = orders.wait_for(|order| *order != Order::Serve) => {
                return Err(ChangeError::Stopping);
            }
            ready = successor.ready() => ready?,
        };
        self.state().sockets.hand_over();
        manager::tell(Phase::Succeeded(successor));
        self.0.successor.send_replace(Some(successor));
        tracing::info!(successor, "another process serves");
        self.drain();
        Ok(successor)
    }

    /// Waits until another process has taken over.
    pub(in crate::server) async fn succeeded(&self) {
        let mut successor = self.0.successor.subscribe();
        // The sender is in `self`.
        let _ = successor.wait_for(Option::is_some).await;
    }

    /// Whether another process has taken over.
    pub(in crate::server) fn has_successor(&self) -> bool {
        self.0.successor.borrow().is_some()
    }

    /// Lets go of the sockets that clients connect to.
    pub(in crate::server) fn close_sockets(&self) {
        self.state().sockets.close();
    }
}
