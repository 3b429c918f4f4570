//! What workers cannot mend by themselves: a version that fails, an instance that takes long
//! to make.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{ChangeError, Control, PastEnd, blocking};
use crate::plugin::Fault;
use crate::router::version::{Matter, Notice};
use crate::router::{Change, TrialEnd};
use crate::worker::Command;

/// Pause after an instance could not be made beside a worker.
const INSTANCE_PAUSE: Duration = Duration::from_secs(1);

impl Control {
    /// Acts on what workers cannot mend by themselves, until they are gone.
    pub(in crate::server) async fn heed(self, mut notices: mpsc::UnboundedReceiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            let control = self.clone();
            tokio::spawn(async move {
                match notice.matter {
                    Matter::Failing => control.retire(&notice).await,
                    Matter::NeedsInstance(worker) => control.provide(&notice, worker).await,
                }
            });
        }
    }

    /// Goes back to the last version that worked, if there is one.
    async fn retire(&self, notice: &Notice) {
        let frontend = &notice.frontend;
        let Ok(_changing) = self.changing().await else {
            return;
        };
        if !self.state().is_active(frontend, notice.number) {
            self.abort_if_tried(notice);
            return;
        }
        match self.go_back(frontend, None, PastEnd::Failed).await {
            Ok(version) => tracing::warn!(
                frontend,
                failed = notice.number,
                version = version.number(),
                "the plugin had too many faults: the version before decides again"
            ),
            Err(ChangeError::NoVersion(_)) => tracing::error!(
                frontend,
                version = notice.number,
                "the plugin had too many faults, and there is no version before it: \
                 requests go by on_fault, and one in a while tries it again"
            ),
            Err(error) => tracing::error!(
                frontend,
                version = notice.number,
                %error,
                "the plugin had too many faults, and the version before it cannot serve"
            ),
        }
    }

    /// A trial that fails ends.
    fn abort_if_tried(&self, notice: &Notice) {
        let only = Some(notice.number);
        let ended = self.finish_trial(&notice.frontend, only, TrialEnd::Aborted);
        if ended.is_ok() {
            tracing::error!(
                frontend = notice.frontend,
                version = notice.number,
                "the plugin on trial had too many faults: its trial has ended"
            );
        }
    }

    /// Makes an instance for a worker that must not wait for it.
    async fn provide(&self, notice: &Notice, worker: usize) {
        let Some(version) = self.state().version(&notice.frontend, notice.number) else {
            return;
        };
        let made_of = Arc::clone(&version);
        let made = blocking(move || made_of.instantiate()).await;
        // The worker waits for an answer, whatever it is.
        let instance = made.unwrap_or_else(|error| Err(Fault::Instantiate(error.to_string())));
        if instance.is_err() {
            // The worker asks again with the next request.
            tokio::time::sleep(INSTANCE_PAUSE).await;
        }
        if let Some(worker) = self.0.workers.get(worker) {
            let change = Change::Provide(version, instance);
            let _ = worker.send(Command::Router(notice.frontend.clone(), change));
        }
    }
}
