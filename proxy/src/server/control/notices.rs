//! What workers cannot mend by themselves: a version that fails, an instance that takes long
//! to make.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{ChangeError, Control, PastEnd, Task, blocking};
use crate::router::TrialEnd;
use crate::router::version::{Matter, Notice};
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
        let Ok(changing) = self.changing().await else {
            return;
        };
        let is_active = |task: &Task| task.active.number() == notice.number;
        if !self.task(frontend).as_ref().is_ok_and(is_active) {
            drop(changing);
            self.abort_if_tried(notice).await;
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
    async fn abort_if_tried(&self, notice: &Notice) {
        let is_tried = self.version(&notice.frontend, notice.number).is_some();
        if is_tried
            && self
                .end_trial(&notice.frontend, TrialEnd::Aborted)
                .await
                .is_ok()
        {
            tracing::error!(
                frontend = notice.frontend,
                version = notice.number,
                "the plugin on trial had too many faults: its trial has ended"
            );
        }
    }

    /// Makes an instance for a worker that must not wait for it.
    async fn provide(&self, notice: &Notice, worker: usize) {
        let Some(version) = self.version(&notice.frontend, notice.number) else {
            return;
        };
        let instance = blocking(move || version.instantiate()).await;
        if instance.is_err() {
            // The worker asks again with the next request.
            tokio::time::sleep(INSTANCE_PAUSE).await;
        }
        if let Some(worker) = self.0.workers.get(worker) {
            let _ = worker.send(Command::Provide {
                frontend: notice.frontend.clone(),
                number: notice.number,
                instance,
            });
        }
    }
}
