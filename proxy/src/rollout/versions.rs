//! Which versions each router has: in service, under rollout, retired.
//!
//! Plain state, changed under the lock of `control`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config;
use crate::plugin::Plugin;
use crate::router::rollout::Rollout;
use crate::router::version::Version;

/// Retired versions that are kept for each router.
const MAX_RETIRED: usize = 4;

/// The versions of every router, by the frontends' names.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    published: HashMap<String, Published>,
    /// The latest first.
    retired: HashMap<String, VecDeque<RetiredVersion>>,
}

/// The version in service of one router.
#[derive(Debug, Clone)]
pub struct Published {
    /// In service.
    pub active: Arc<Version>,
    /// Its configuration.
    pub router: config::Router,
    /// The next version's number.
    pub next: u32,
    /// SHA-256 of the configured file when it was last read. The active version may come from
    /// another file: it stays as long as neither the file nor the configuration changes.
    pub configured: String,
    /// The rollout beside the active version, with the configuration of its version.
    pub rollout: Option<(Arc<Rollout>, config::Router)>,
}

/// A version that was in service.
#[derive(Debug, Clone)]
pub struct RetiredVersion {
    /// The version.
    pub version: Arc<Version>,
    /// Its configuration.
    pub router: config::Router,
    /// Why it was retired.
    pub reason: Retirement,
}

/// Why a version went out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// Another version replaced it.
    Replaced,
    /// It had too many faults.
    Failed,
}

impl Published {
    /// Whether the other is the same component with the same configuration.
    fn is_same_as(&self, other: &Published) -> bool {
        self.active.sha256() == other.active.sha256() && self.router == other.router
    }
}

impl Versions {
    /// Of the first configuration.
    pub fn new(published: HashMap<String, Published>) -> Versions {
        Versions {
            published,
            retired: HashMap::new(),
        }
    }

    /// The versions in service, by the frontends' names.
    pub fn all_published(&self) -> &HashMap<String, Published> {
        &self.published
    }

    /// The version in service; None without a router.
    pub fn published(&self, frontend: &str) -> Option<&Published> {
        self.published.get(frontend)
    }

    pub(super) fn published_mut(&mut self, frontend: &str) -> Option<&mut Published> {
        self.published.get_mut(frontend)
    }

    /// The retired versions of a router, the latest first.
    pub fn retired(&self, frontend: &str) -> impl Iterator<Item = &RetiredVersion> {
        self.retired.get(frontend).into_iter().flatten()
    }

    /// Whether the version with this number is in service.
    pub fn is_active(&self, frontend: &str, number: u32) -> bool {
        let published = self.published(frontend);
        published.is_some_and(|published| published.active.number() == number)
    }

    /// The version with this number, if the workers have it: in service or under rollout.
    pub fn find(&self, frontend: &str, number: u32) -> Option<Arc<Version>> {
        let published = self.published(frontend)?;
        let rollout = published.rollout.as_ref();
        let candidate = rollout.map(|(rollout, _)| rollout.version());
        let mut known = candidate.into_iter().chain([&published.active]);
        known
            .find(|version| version.number() == number)
            .map(Arc::clone)
    }

    /// The retired version with this number, or the latest one that can work.
    pub fn find_retired(&self, frontend: &str, number: Option<u32>) -> Option<RetiredVersion> {
        let published = self.published(frontend)?;
        let can_work = |retired: &RetiredVersion| {
            // The same version would fail as it has failed before.
            let is_same = retired.version.sha256() == published.active.sha256()
                && retired.router == published.router;
            retired.reason != Retirement::Failed && !is_same
        };
        let mut retired = self.retired(frontend);
        let found = retired.find(|retired| {
            number.map_or_else(
                || can_work(retired),
                |number| retired.version.number() == number,
            )
        });
        found.cloned()
    }

    /// Records the SHA-256 of the configured file; whether it has changed.
    pub fn record_file(&mut self, frontend: &str, sha256: String) -> bool {
        let Some(published) = self.published.get_mut(frontend) else {
            return false;
        };
        let is_new = published.configured != sha256;
        published.configured = sha256;
        is_new
    }

    /// Puts a version into service and retires the one before. A rollout ends.
    pub(super) fn activate(
        &mut self,
        frontend: &str,
        version: &Arc<Version>,
        router: config::Router,
        reason: Retirement,
    ) {
        let Some(published) = self.published.get_mut(frontend) else {
            return;
        };
        let old = published.clone();
        *published = Published {
            active: Arc::clone(version),
            router,
            next: old.next.max(version.number() + 1),
            configured: old.configured.clone(),
            rollout: None,
        };
        self.retire(frontend, old, reason);
    }

    /// Takes the versions of another configuration, and retires those that it replaces.
    pub fn replace(&mut self, published: HashMap<String, Published>) {
        let old = std::mem::replace(&mut self.published, published);
        self.retired
            .retain(|frontend, _| self.published.contains_key(frontend));
        for (frontend, old) in old {
            let Some(new) = self.published.get(&frontend) else {
                continue;
            };
            if old.rollout.is_some() && new.rollout.is_none() {
                tracing::warn!(frontend, "the reload has ended the trial");
            }
            // A version that was only configured anew is nothing to go back to.
            if !old.is_same_as(new) {
                let reason = if old.active.is_failing() {
                    Retirement::Failed
                } else {
                    Retirement::Replaced
                };
                self.retire(&frontend, old, reason);
            }
        }
    }

    fn retire(&mut self, frontend: &str, old: Published, reason: Retirement) {
        let now = self.published.get(frontend);
        let active = now.map(|now| now.active.number());
        let retired = self.retired.entry(frontend.to_owned()).or_default();
        // A version that is in service again is not retired.
        retired.retain(|one| Some(one.version.number()) != active);
        retired.push_front(RetiredVersion {
            version: old.active,
            router: old.router,
            reason,
        });
        retired.truncate(MAX_RETIRED);
        // Workers may still run the latest one, so it is evicted with the next change. Versions
        // in service may share code with a retired one.
        let rollout = now.and_then(|now| now.rollout.as_ref());
        let mut running: Vec<&Plugin> = Vec::new();
        running.extend(rollout.map(|(rollout, _)| rollout.version().plugin()));
        running.extend(now.map(|now| now.active.plugin()));
        running.extend(retired.front().map(|one| one.version.plugin()));
        for one in retired.iter().skip(1) {
            let plugin = one.version.plugin();
            if !running.iter().any(|running| running.shares_code(plugin)) {
                plugin.evict();
            }
        }
    }
}
