//! Upgrade: another process takes over the sockets, and this one drains.

use super::handle::Process;
use super::inheritance::Successor;
use super::sd_notify::{self, Phase};
use crate::control::ChangeError;
use crate::worker::DrainState;

impl Process {
    /// Runs the program again, which may be a newer one, with the configuration on disk. Once it
    /// serves, it has all sockets, and this process begins to drain; the new process's number.
    ///
    /// # Errors
    /// [`ChangeError`]; this process continues.
    pub(super) async fn upgrade(&self) -> Result<u32, ChangeError> {
        let control = self.control();
        // A reload that is prepared meanwhile waits for the outcome: what it binds would not be
        // passed on. Changes of versions go on here, and end with this process.
        let _sockets = self.change_sockets().await;
        control.ensure_serving()?;
        let mut state = control.drain_state().subscribe();
        let sockets = self.sockets().all();
        let successor = Successor::start(&sockets, &control.sites().ticket_keys().export())
            .map_err(|error| ChangeError::Process(error.into()))?;
        // Only the successor keeps them open, should this process stop.
        drop(sockets);
        let successor = tokio::select! {
            // A signal to stop stops this process and the one that it has started: the files of
            // its sockets are being removed already.
            biased;
            _ = state.wait_for(|state| *state != DrainState::Serving) => {
                return Err(ChangeError::Stopping);
            }
            ready = successor.ready() => ready.map_err(|error| ChangeError::Process(error.into()))?,
        };
        self.sockets().hand_over();
        sd_notify::notify(Phase::Succeeded(successor));
        control.hand_over(successor);
        Ok(successor)
    }
}
