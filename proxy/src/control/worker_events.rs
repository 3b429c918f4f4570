//! Events from workers: a version fails, or an instance takes long to create.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{ChangeError, Control, blocking};
use crate::plugin::Fault;
use crate::router::Change;
use crate::router::version::{WorkerEvent, WorkerEventKind};
use crate::worker::Command;

/// Pause after a failed attempt to create an instance off the worker threads.
const INSTANCE_PAUSE: Duration = Duration::from_secs(1);

impl Control {
    /// Handles events from the workers until all of them have ended.
    pub async fn handle_events(self, mut events: mpsc::UnboundedReceiver<WorkerEvent>) {
        while let Some(event) = events.recv().await {
            let control = self.clone();
            tokio::spawn(async move {
                match event.kind {
                    WorkerEventKind::Failing => control.replace_failing(&event).await,
                    WorkerEventKind::NeedsInstance(worker) => {
                        control.provide(&event, worker).await;
                    }
                }
            });
        }
    }

    /// If the failing version is active, rolls back to the last good version, if there is one. If
    /// it is on trial, ends the trial.
    async fn replace_failing(&self, event: &WorkerEvent) {
        let is_active = self
            .state()
            .active
            .versions
            .is_active(&event.stage, event.number);
        if !is_active {
            self.abort_failing_rollout(event);
            return;
        }
        let (frontend, stage) = (&event.stage.frontend, &event.stage.name);
        match self.go_back_from_failing(&event.stage, event.number).await {
            Ok(Some(version)) => tracing::warn!(
                frontend,
                stage,
                failed = event.number,
                version = version.number(),
                "the plugin had too many faults: rolled back to the previous version"
            ),
            // The failing version is no longer in service.
            Ok(None) => {}
            // The stage no longer exists, or the process is stopping.
            Err(error) if error.is_gone() => {}
            Err(ChangeError::NothingBefore(_)) => tracing::error!(
                frontend,
                stage,
                version = event.number,
                "the plugin had too many faults, and there is no previous version: \
                 on_fault applies to requests, and one from time to time tries the plugin again"
            ),
            Err(error) => tracing::error!(
                frontend,
                stage,
                version = event.number,
                %error,
                "the plugin had too many faults, and no previous version can serve"
            ),
        }
    }

    fn abort_failing_rollout(&self, event: &WorkerEvent) {
        let ended = self.end_failing_rollout(&event.stage, event.number);
        if ended.is_ok() {
            tracing::error!(
                frontend = event.stage.frontend,
                stage = event.stage.name,
                version = event.number,
                "the plugin on trial had too many faults: its trial has ended"
            );
        }
    }

    /// Creates an instance for a worker, off the worker's thread, which must not block.
    async fn provide(&self, event: &WorkerEvent, worker: usize) {
        let version = self
            .state()
            .active
            .versions
            .find(&event.stage, event.number);
        let Some(version) = version else {
            return;
        };
        let source = Arc::clone(&version);
        let created = blocking(move || source.instantiate()).await;
        // The worker waits for a result, so report a failure to it, too.
        let instance = created.unwrap_or_else(|error| Err(Fault::Instantiate(error.to_string())));
        if instance.is_err() {
            // After a failure, the worker's next request asks for another instance. Delay the
            // result, so that attempts are rare.
            tokio::time::sleep(INSTANCE_PAUSE).await;
        }
        if let Some(worker) = self.0.handles.workers.get(worker) {
            let change = Change::Provide(version, instance);
            let _ = worker.send(Command::Stage(event.stage.clone(), change));
        }
    }
}
