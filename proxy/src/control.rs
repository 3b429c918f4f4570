//! The running configuration, and its changes while the workers serve: swaps of plugin versions,
//! rollbacks and reloads.
//!
//! Each change is prepared without a lock and published under a lock, so no change waits while
//! another one compiles. If several requests change the same thing, the one that was made last
//! stays in force. Slow steps (compiling, resolving, trying out) run on threads of low priority.
//! The workers apply the result between two requests. A change that fails at any step has no
//! effect. Called by `process` and `admin`; opens no socket.

mod acme_sites;
mod attempt;
mod backends;
mod certificates;
mod changes;
mod error;
mod listeners;
mod pending;
mod prepared;
mod reload;
mod replacement;
mod rollback;
mod rollouts;
mod servers;
mod stages;
mod state;
mod superseded;
mod swap;
mod tables;
mod view;
mod watcher;
mod worker_configs;
mod worker_events;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{mpsc, watch};

use self::changes::Changes;
use self::state::State;
use crate::acme::{self, HttpChallenges};
use crate::connection_limiter::ConnectionLimiter;
use crate::telemetry::Telemetry;
use crate::worker::{Command, DrainState, WorkerConfig};

pub use self::error::ChangeError;
pub use self::listeners::FrontendListeners;
pub use self::prepared::{PrepareError, Prepared, locate_table};
pub use self::reload::{Published, Reload};
pub use self::rollouts::Aborted;
pub use self::stages::{OnTrial, locate};
pub use self::state::Reloads;
pub use self::view::StageState;

/// Handle to the running configuration. All clones share the same state.
#[derive(Debug, Clone)]
pub struct Control(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changes: Changes,
    handles: Handles,
    started: SystemTime,
    /// Process ID of the process that has replaced this one, if any.
    successor: watch::Sender<Option<u32>>,
    /// Responses to the HTTP challenges of ACME servers. Every worker can send them.
    challenges: Arc<HttpChallenges>,
    acme: acme::Manager,
}

/// Handles to everything that a change affects.
#[derive(Debug)]
pub struct Handles {
    /// Command channels of the workers, indexed by worker number.
    pub workers: Vec<mpsc::UnboundedSender<Command>>,
    /// Drain state of the workers.
    pub drain: watch::Sender<DrainState>,
    /// The log and its settings.
    pub telemetry: Arc<Telemetry>,
    /// Limiter that counts client connections.
    pub limiter: Arc<ConnectionLimiter>,
}

impl Control {
    /// Creates the `Control` of a process that starts with `prepared`, and the configuration of
    /// each worker.
    ///
    /// `listeners` are those of the frontends, in the order of the configuration.
    pub fn new(
        mut prepared: Prepared,
        listeners: &mut [FrontendListeners],
        handles: Handles,
    ) -> (Control, Vec<WorkerConfig>) {
        let workers = handles.workers.len();
        // This is the first configuration, so `prepared` cannot be stale.
        prepared.commit_sites();
        prepared.commit_tables(None);
        for cluster in &mut prepared.clusters {
            cluster.publish();
        }
        prepared.keep();
        let challenges = Arc::default();
        let acme = acme_sites::manager(&prepared.sites, Arc::clone(&challenges));
        let (configs, frontends) = worker_configs::distribute(
            &mut prepared,
            listeners,
            &challenges,
            workers,
            &worker_configs::Known::None,
        );
        let control = Control(Arc::new(Inner {
            state: Mutex::new(State::new(prepared, frontends, workers)),
            changes: Changes::default(),
            handles,
            started: SystemTime::now(),
            successor: watch::Sender::new(None),
            challenges,
            acme,
        }));
        (control, configs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No change can leave the state inconsistent, so a poisoned lock is safe to use.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to drain the workers, as SIGTERM does.
    pub fn drain(&self) {
        self.0.acme.stop();
        let has_begun = self.0.handles.drain.send_if_modified(|state| {
            let is_serving = *state == DrainState::Serving;
            if is_serving {
                *state = DrainState::Draining;
            }
            is_serving
        });
        if has_begun {
            self.warn_about_unsaved_tables();
        }
    }

    /// Starts ordering certificates that are due.
    ///
    /// Must be called only when no other process accepts connections from the same sockets. Only
    /// the process that placed an order can respond to its challenges.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn order_certificates(&self) {
        let state = self.state();
        if self.ensure_serving().is_ok() {
            self.0.acme.begin();
            let ordered = acme_sites::ordered(&state.active.config);
            self.0.acme.apply(ordered);
        }
    }

    /// Returns the drain state of the workers, for `process` to watch and change.
    pub fn drain_state(&self) -> &watch::Sender<DrainState> {
        &self.0.handles.drain
    }

    /// Sets the maximum number of client connections from now on.
    pub fn allow_connections(&self, max_connections: u32) {
        self.0.handles.limiter.allow(max_connections);
    }

    /// Records that process `successor` has replaced this one, and starts draining.
    pub fn hand_over(&self, successor: u32) {
        self.0.successor.send_replace(Some(successor));
        tracing::info!(successor, "replaced by another process");
        self.drain();
    }

    /// Waits until another process has replaced this one.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn handed_over(&self) {
        let mut successor = self.0.successor.subscribe();
        // Cannot fail: the sender is in `self`.
        let _ = successor.wait_for(Option::is_some).await;
    }

    /// Returns whether another process has replaced this one.
    pub fn has_successor(&self) -> bool {
        self.0.successor.borrow().is_some()
    }
}

/// Runs slow work on a blocking thread of low priority.
///
/// # Errors
/// [`ChangeError::Panicked`].
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ChangeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ChangeError::Panicked(error.to_string()))
}
