//! The state behind the controls.

use std::collections::HashMap;
use std::sync::Arc;

use super::prepared::{ActiveConfig, Prepared};
use super::worker_configs::Frontends;
use crate::config::Source;
use crate::rollout::task::LoadTask;
use crate::rollout::versions::Versions;
use crate::telemetry::Answers;

/// The running configuration. No worker ever locks it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) active: ActiveConfig,
    pub(super) source: Source,
    pub(super) answers: HashMap<String, Arc<Answers>>,
    pub(super) reloads: Reloads,
}

/// Configurations applied since the start, and refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reloads {
    /// In force, at least for a while.
    pub applied: u64,
    /// Without effect.
    pub refused: u64,
}

impl State {
    /// Of the first configuration.
    pub(super) fn new(prepared: Prepared, frontends: Frontends, workers: usize) -> State {
        let versions = Versions::new(frontends.published);
        let (active, source) = prepared.activate(versions, workers);
        State {
            active,
            source,
            answers: frontends.answers,
            reloads: Reloads::default(),
        }
    }

    /// None for a frontend that does not exist or has no router.
    pub(super) fn task(&self, frontend: &str) -> Option<LoadTask> {
        let active = &self.active;
        let configured = active.config.frontend(frontend)?;
        Some(LoadTask {
            frontend: frontend.to_owned(),
            router: configured.router.clone()?,
            next: active.versions.published(frontend)?.next,
            loader: Arc::clone(active.loader.as_ref()?),
            live: Arc::clone(&active.live),
            events: active.events.clone(),
        })
    }
}
