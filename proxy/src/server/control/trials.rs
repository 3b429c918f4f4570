//! Versions on trial: put beside the active one, promoted, aborted.

use std::sync::Arc;

use super::{ChangeError, Control, PastEnd};
use crate::config::PluginSource;
use crate::router::trial::{Mode, Share, Trial};
use crate::router::version::Version;
use crate::router::versions::Loaded;
use crate::router::{Change, TrialEnd};

impl Control {
    /// Puts a version on trial beside the active one, in place of one that is.
    ///
    /// # Errors
    /// As [`swap`](Self::swap).
    pub async fn try_out(
        &self,
        frontend: &str,
        plugin: Option<PluginSource>,
        mode: Mode,
        share: Share,
    ) -> Result<Arc<Version>, ChangeError> {
        let _changing = self.changing().await?;
        let (loaded, router) = self.load(frontend, plugin).await?;
        let Loaded { version, instances } = loaded;
        let workers = self.workers();
        let mut state = self.state();
        let redact = state.before.config.admin.redact.clone();
        let trial = Trial::new(Arc::clone(&version), mode, share, redact, workers);
        let trial = Arc::new(trial);
        if let Some(numbered) = state.before.versions.get_mut(frontend) {
            numbered.next = version.number() + 1;
            numbered.candidate = Some((Arc::clone(&trial), router));
        }
        let tries = instances
            .into_iter()
            .map(|instance| Change::Try(Arc::clone(&trial), instance));
        self.send(frontend, tries);
        tracing::info!(
            frontend,
            plugin = version.plugin_name(),
            version = version.number(),
            sha256 = version.sha256(),
            source = version.source(),
            ?mode,
            percent = share.percent(),
            "plugin on trial"
        );
        Ok(version)
    }

    /// Ends a trial: its version takes over, or goes.
    ///
    /// # Errors
    /// [`ChangeError::NoTrial`]; [`ChangeError::Failing`] where it is to take over, but had too
    /// many faults.
    pub async fn end_trial(
        &self,
        frontend: &str,
        end: TrialEnd,
    ) -> Result<Arc<Version>, ChangeError> {
        let _changing = self.changing().await?;
        self.finish_trial(frontend, None, end)
    }

    /// The same for who is changing already; of this version alone, if one is named.
    pub(super) fn finish_trial(
        &self,
        frontend: &str,
        only: Option<u32>,
        end: TrialEnd,
    ) -> Result<Arc<Version>, ChangeError> {
        let mut state = self.state();
        let numbered = state.before.versions.get_mut(frontend);
        let candidate = numbered.and_then(|numbered| {
            numbered.candidate.take_if(|(trial, _)| {
                only.is_none_or(|number| trial.version().number() == number)
                    && !(end == TrialEnd::Promoted && trial.version().is_failing())
            })
        });
        let Some((trial, router)) = candidate else {
            let numbered = state.before.versions.get(frontend);
            let is_there = numbered.is_some_and(|numbered| numbered.candidate.is_some());
            let error = if is_there && only.is_none() {
                ChangeError::Failing
            } else {
                ChangeError::NoTrial
            };
            return Err(error(frontend.to_owned()));
        };
        let version = Arc::clone(trial.version());
        if end == TrialEnd::Promoted {
            state.activate(frontend, &version, router, PastEnd::Replaced);
        }
        self.send(frontend, std::iter::repeat_with(|| Change::EndTrial(end)));
        tracing::info!(
            frontend,
            version = version.number(),
            ?end,
            "the trial has ended"
        );
        Ok(version)
    }
}
