//! What is in force, what was before, and what a change starts from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{self, PluginSource, Source};
use crate::plugin::{Backends, Plugin};
use crate::router::version::{Notice, Version};
use crate::router::versions::{Load, Loader};
use crate::server::prepared::{Before, Numbered};
use crate::server::sockets::Sockets;
use crate::telemetry::Answers;

/// Versions of a router that are kept besides the active one.
const MAX_HISTORY: usize = 4;

/// What is in force. Never locked by a worker.
#[derive(Debug)]
pub(super) struct State {
    pub(super) before: Before,
    pub(super) source: Source,
    pub(super) history: HashMap<String, VecDeque<Past>>,
    pub(super) sockets: Sockets,
    pub(super) answers: HashMap<String, Arc<Answers>>,
    pub(super) reloads: Reloads,
}

/// A version that was in service.
#[derive(Debug, Clone)]
pub struct Past {
    /// It.
    pub version: Arc<Version>,
    /// What it was configured with.
    pub(super) router: config::Router,
    /// Why it is not any more.
    pub end: PastEnd,
}

/// Why a version went out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastEnd {
    /// Another was put in its place.
    Replaced,
    /// It had too many faults.
    Failed,
}

/// Configurations taken up since the start, and refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reloads {
    /// In force, at least for a while.
    pub applied: u64,
    /// Without effect.
    pub refused: u64,
}

impl State {
    /// None for a frontend that is not there, or has no router.
    pub(super) fn task(&self, frontend: &str) -> Option<Task> {
        let before = &self.before;
        let configured = before.config.frontend(frontend)?;
        Some(Task {
            frontend: frontend.to_owned(),
            router: configured.router.clone()?,
            next: before.versions.get(frontend)?.next,
            loader: Arc::clone(before.loader.as_ref()?),
            live: Arc::clone(&before.live),
            notices: before.notices.clone(),
        })
    }

    /// Whether the version of this number decides.
    pub(super) fn is_active(&self, frontend: &str, number: u32) -> bool {
        let numbered = self.before.versions.get(frontend);
        numbered.is_some_and(|numbered| numbered.active.number() == number)
    }

    /// The version of this number that workers have, be it active or on trial.
    pub(super) fn version(&self, frontend: &str, number: u32) -> Option<Arc<Version>> {
        let numbered = self.before.versions.get(frontend)?;
        let tried = numbered
            .candidate
            .as_ref()
            .map(|(trial, _)| trial.version());
        let mut known = tried.into_iter().chain([&numbered.active]);
        known
            .find(|version| version.number() == number)
            .map(Arc::clone)
    }

    /// The version of this number among those before, or the last that can work.
    pub(super) fn find_past(&self, frontend: &str, number: Option<u32>) -> Option<Past> {
        let active = self.before.versions.get(frontend)?;
        let mut past = self.history.get(frontend)?.iter();
        let can_work = |past: &Past| {
            // The same once more would fail as it has.
            let is_same =
                past.version.sha256() == active.active.sha256() && past.router == active.router;
            past.end != PastEnd::Failed && !is_same
        };
        let past = past.find(|past| {
            number.map_or_else(|| can_work(past), |number| past.version.number() == number)
        });
        past.cloned()
    }

    /// Remembers what the configured file is; whether it was another before.
    pub(super) fn note_file(&mut self, frontend: &str, sha256: String) -> bool {
        let Some(numbered) = self.before.versions.get_mut(frontend) else {
            return false;
        };
        let is_new = numbered.configured != sha256;
        numbered.configured = sha256;
        is_new
    }

    pub(super) fn activate(
        &mut self,
        frontend: &str,
        version: &Arc<Version>,
        router: config::Router,
        end: PastEnd,
    ) {
        let Some(numbered) = self.before.versions.get_mut(frontend) else {
            return;
        };
        let old = numbered.clone();
        *numbered = Numbered {
            active: Arc::clone(version),
            router,
            next: old.next.max(version.number() + 1),
            configured: old.configured.clone(),
            candidate: None,
        };
        self.remember(frontend, old, end);
    }

    pub(super) fn remember(&mut self, frontend: &str, old: Numbered, end: PastEnd) {
        let now = self.before.versions.get(frontend).cloned();
        let active = now.as_ref().map(|numbered| numbered.active.number());
        let history = self.history.entry(frontend.to_owned()).or_default();
        // The one that is in service again is none of the past.
        history.retain(|past| Some(past.version.number()) != active);
        history.push_front(Past {
            version: old.active,
            router: old.router,
            end,
        });
        history.truncate(MAX_HISTORY);
        // Workers may be about to let go of the last one: its turn comes with the next. What
        // runs may be of the same code.
        let tried = now.iter().filter_map(|now| now.candidate.as_ref());
        let mut running: Vec<&Plugin> = tried.map(|(trial, _)| trial.version().plugin()).collect();
        running.extend(now.iter().map(|now| now.active.plugin()));
        running.extend(history.front().map(|past| past.version.plugin()));
        for past in history.iter().skip(1) {
            let plugin = past.version.plugin();
            if !running.iter().any(|running| running.shares_code(plugin)) {
                plugin.put_away();
            }
        }
    }
}

/// What loading a plugin for a frontend takes, away from the state's lock.
pub(super) struct Task {
    frontend: String,
    pub(super) router: config::Router,
    /// The number of the next version.
    pub(super) next: u32,
    pub(super) loader: Arc<Loader>,
    live: Arc<dyn Backends>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Task {
    pub(super) fn load<'a>(&'a self, plugin: &'a PluginSource, number: u32) -> Load<'a> {
        Load {
            frontend: &self.frontend,
            router: &self.router,
            plugin,
            source: None,
            number,
            backends: Arc::clone(&self.live),
            notices: Some(self.notices.clone()),
        }
    }
}
