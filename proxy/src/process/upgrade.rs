//! Upgrade: another process inherits the sockets, and this one drains.

use super::handle::Process;
use super::inheritance::Successor;
use super::sd_notify::{self, Phase};
use crate::control::ChangeError;
use crate::worker::DrainState;

impl Process {
    /// Starts the program again, which may be a newer one, with the configuration on disk. Once the
    /// new process serves, it has all sockets, and this process begins to drain. Returns the new
    /// process's ID.
    ///
    /// # Errors
    /// [`ChangeError`]; this process then continues.
    pub(super) async fn upgrade(&self) -> Result<u32, ChangeError> {
        let control = self.control();
        // Held so that a reload that is being prepared waits for the outcome: sockets that it binds
        // would not be passed on. Plugin versions can still change in this process, but those
        // changes end with it.
        let _sockets = self.change_sockets().await;
        control.ensure_serving()?;
        let mut state = control.drain_state().subscribe();
        let sockets = self.sockets().all();
        let successor = Successor::start(&sockets, &control.sites().ticket_keys().export())
            .map_err(|error| ChangeError::Process(error.into()))?;
        // Dropped so that only the successor keeps the sockets open if this process stops.
        drop(sockets);
        let successor = tokio::select! {
            // A signal to stop takes precedence and also ends the new process: this process is
            // already removing the files of its sockets.
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
