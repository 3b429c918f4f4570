//! The versions of each stage: in service, under rollout, retired.
//!
//! Plain state, changed under the lock of `control`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use super::loader::Loader;
use super::ticket::Ticket;
use crate::config::{self, StageId};
use crate::router::results::Results;
use crate::router::rollout::{Mode, Rollout, Share};
use crate::router::version::Version;

/// Maximum number of retired versions that are kept for each stage.
const MAX_RETIRED: usize = 4;

/// The versions of every stage of every router.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    published: HashMap<StageId, Published>,
    /// Retired versions, newest first.
    retired: HashMap<StageId, VecDeque<RetiredVersion>>,
}

/// The version in service of one stage, with its rollout and history.
#[derive(Debug, Clone)]
pub struct Published {
    /// The version in service.
    pub active: Arc<Version>,
    /// Configuration of the active version.
    pub stage: config::Stage,
    /// The cause that put the active version into service.
    pub cause: Cause,
    /// The number of the next version.
    pub next: u32,
    /// The latest request that has put a version into service or on trial. A request that was made
    /// earlier but finishes later must not undo it.
    pub order: Ticket,
    /// The configured file, as last read.
    pub file: ConfiguredFile,
    /// `true` if the settings in service come from a request made later than the last reload, and
    /// differ from the configuration in force. The next reload applies the configured settings.
    pub is_behind: bool,
    /// The rollout next to the active version, and the configuration of the version under rollout.
    pub rollout: Option<(Arc<Rollout>, config::Stage)>,
    /// The last rollout that ended.
    pub ended: Option<EndedTrial>,
}

/// Contents of the configured file that were read before, as SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfiguredFile {
    /// The contents that were last put into service, or that a later request overrides. The active
    /// version can come from another file; it stays in service until the configured file or the
    /// configuration changes. Without this record, a SIGHUP that is only meant to rotate the log
    /// would undo a swap or a rollback.
    pub accepted: String,
    /// Contents that cannot serve. A reload loads them again and reports the reason.
    pub refused: Option<String>,
}

/// A version that was in service.
#[derive(Debug, Clone)]
pub struct RetiredVersion {
    /// The version.
    pub version: Arc<Version>,
    /// Configuration of the version.
    pub stage: config::Stage,
    /// The cause that put it into service.
    pub cause: Cause,
    /// Reason why it was retired.
    pub reason: Retirement,
}

/// The cause that put a version into service or on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was configured when the process started.
    Start,
    /// A reload found a new configuration or a new file.
    Reload,
    /// The configured file has changed.
    File,
    /// An operator put it into service.
    Swap,
    /// An operator put it on trial.
    Trial,
    /// An operator promoted it after a trial.
    Promotion,
    /// An operator rolled back to it.
    Rollback,
    /// The version that followed it had too many faults.
    Faults,
}

/// Reason why a version was taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retirement {
    /// A later version replaced it.
    Replaced,
    /// An operator rolled back to an earlier version.
    RolledBack,
    /// It had too many faults.
    Failed,
}

/// A rollout that has ended, with its results.
#[derive(Debug, Clone)]
pub struct EndedTrial {
    /// The number of the version that was on trial.
    pub number: u32,
    /// The number of the version that was active during the trial.
    pub active: u32,
    /// The mode of the trial.
    pub mode: Mode,
    /// The share of requests or clients in the trial.
    pub share: Share,
    /// Results of the trial.
    pub results: Arc<Results>,
    /// How the trial ended.
    pub end: TrialEnd,
    /// When the trial ended.
    pub at: SystemTime,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialEnd {
    /// An operator promoted the version on trial.
    Promoted,
    /// An operator aborted the trial.
    Aborted,
    /// The version on trial had too many faults.
    Failed,
    /// Another version was put on trial.
    Replaced,
    /// Another version was put into service, or a reload recreated the stage.
    Superseded,
}

/// A version to activate by [`Versions::activate`].
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) version: Arc<Version>,
    pub(super) stage: config::Stage,
    pub(super) cause: Cause,
    /// When the version was requested; None for an automatic rollback because of faults.
    pub(super) order: Option<Ticket>,
}

impl Cause {
    /// Returns the name used in JSON and logs.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Reload => "reload",
            Cause::File => "file",
            Cause::Swap => "swap",
            Cause::Trial => "trial",
            Cause::Promotion => "promote",
            Cause::Rollback => "rollback",
            Cause::Faults => "faults",
        }
    }
}

impl Retirement {
    /// Returns the name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Retirement::Replaced => "replaced",
            Retirement::RolledBack => "rolled-back",
            Retirement::Failed => "failed",
        }
    }
}

impl TrialEnd {
    /// Returns the name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            TrialEnd::Promoted => "promoted",
            TrialEnd::Aborted => "aborted",
            TrialEnd::Failed => "failed",
            TrialEnd::Replaced => "replaced",
            TrialEnd::Superseded => "superseded",
        }
    }
}

impl Published {
    /// Returns whether `other` is the same component with the same configuration.
    fn is_same_as(&self, other: &Published) -> bool {
        self.serves(other.active.sha256(), &other.stage)
    }

    /// Returns whether the component with this SHA-256 is in service with this configuration.
    pub fn serves(&self, sha256: &str, stage: &config::Stage) -> bool {
        self.active.sha256() == sha256 && self.stage == *stage
    }

    /// Ends the rollout, if there is one.
    pub(super) fn end_rollout(&mut self, end: TrialEnd) {
        if let Some((rollout, _)) = self.rollout.take() {
            self.ended = Some(EndedTrial {
                number: rollout.version().number(),
                active: self.active.number(),
                mode: rollout.mode(),
                share: rollout.share(),
                results: Arc::clone(rollout.results()),
                end,
                at: SystemTime::now(),
            });
        }
    }
}

impl Versions {
    /// Creates the versions of the first configuration.
    pub fn new(published: HashMap<StageId, Published>) -> Versions {
        Versions {
            published,
            retired: HashMap::new(),
        }
    }

    /// Returns the versions in service, by stage.
    pub fn all_published(&self) -> &HashMap<StageId, Published> {
        &self.published
    }

    /// Returns the version in service; None if there is no such stage.
    pub fn published(&self, id: &StageId) -> Option<&Published> {
        self.published.get(id)
    }

    /// Returns the version in service mutably; None if there is no such stage.
    pub fn published_mut(&mut self, id: &StageId) -> Option<&mut Published> {
        self.published.get_mut(id)
    }

    /// Returns the retired versions of a stage, newest first.
    pub fn retired(&self, id: &StageId) -> impl Iterator<Item = &RetiredVersion> {
        self.retired.get(id).into_iter().flatten()
    }

    /// Returns whether the version with this number is in service.
    pub fn is_active(&self, id: &StageId, number: u32) -> bool {
        let published = self.published(id);
        published.is_some_and(|published| published.active.number() == number)
    }

    /// Finds the version with this number among those that the workers use: the version in service
    /// and the version under rollout.
    pub fn find(&self, id: &StageId, number: u32) -> Option<Arc<Version>> {
        let published = self.published(id)?;
        let rollout = published.rollout.as_ref();
        let candidate = rollout.map(|(rollout, _)| rollout.version());
        let mut known = candidate.into_iter().chain([&published.active]);
        known
            .find(|version| version.number() == number)
            .map(Arc::clone)
    }

    /// Finds the retired version with this number.
    pub fn find_retired(&self, id: &StageId, number: u32) -> Option<RetiredVersion> {
        let mut retired = self.retired(id);
        let found = retired.find(|retired| retired.version.number() == number);
        found.cloned()
    }

    /// Returns the good versions before the active one, newest first. A version is not good if it
    /// failed, or if an operator rolled back from it.
    pub fn good_before(&self, id: &StageId) -> Vec<RetiredVersion> {
        let active = self.published(id);
        let active = active.map_or(0, |published| published.active.number());
        let good = self.retired(id).filter(|retired| {
            retired.reason == Retirement::Replaced && retired.version.number() < active
        });
        good.cloned().collect()
    }

    /// Returns the versions of [`good_before`](Self::good_before) that differ from the active
    /// version. An identical version would fail again.
    pub fn good_before_failing(&self, id: &StageId) -> Vec<RetiredVersion> {
        let mut good = self.good_before(id);
        if let Some(published) = self.published(id) {
            good.retain(|retired| !published.serves(retired.version.sha256(), &retired.stage));
        }
        good
    }

    /// Returns the version with this number if it is already in service. If so, records the
    /// operator's request, so that no earlier request can replace the version.
    pub fn confirm(&mut self, id: &StageId, number: u32, order: Ticket) -> Option<Arc<Version>> {
        let published = self.published.get_mut(id)?;
        if published.active.number() != number {
            return None;
        }
        published.order = published.order.max(order);
        Some(Arc::clone(&published.active))
    }

    /// Records the configured file as accepted.
    pub fn accept_file(&mut self, id: &StageId, sha256: String) {
        if let Some(published) = self.published.get_mut(id) {
            published.file = ConfiguredFile {
                accepted: sha256,
                refused: None,
            };
        }
    }

    /// Puts a version into service and retires the previous one. Ends any rollout.
    pub(super) fn activate(&mut self, id: &StageId, activation: Activation, end: TrialEnd) {
        let Some(published) = self.published.get_mut(id) else {
            return;
        };
        let Activation {
            version,
            stage,
            cause,
            order,
        } = activation;
        published.end_rollout(end);
        let number = version.number();
        let old = published.clone();
        *published = Published {
            active: version,
            stage,
            cause,
            next: old.next.max(number + 1),
            order: order.unwrap_or(old.order),
            is_behind: old.is_behind && matches!(cause, Cause::Rollback | Cause::Faults),
            ..old.clone()
        };
        let is_back = number < old.active.number();
        let reason = match cause {
            Cause::Faults => Retirement::Failed,
            _ if old.active.is_failing() => Retirement::Failed,
            Cause::Rollback if is_back => Retirement::RolledBack,
            _ => Retirement::Replaced,
        };
        if reason == Retirement::RolledBack {
            self.pass_over(id, number);
        }
        self.retire(id, old, reason);
    }

    /// Marks the versions after version `number` as rolled back, because an operator has rolled
    /// back to that version.
    fn pass_over(&mut self, id: &StageId, number: u32) {
        for retired in self.retired.get_mut(id).into_iter().flatten() {
            if retired.version.number() > number && retired.reason == Retirement::Replaced {
                retired.reason = Retirement::RolledBack;
            }
        }
    }

    /// Adopts the versions of another configuration, and retires those that it replaces. `renamed`
    /// lists renamed stages, each with its old and its new name.
    pub fn replace(
        &mut self,
        published: HashMap<StageId, Published>,
        renamed: Vec<(StageId, StageId)>,
    ) {
        for (former, now) in renamed {
            self.rename(&former, now);
        }
        let old = std::mem::replace(&mut self.published, published);
        self.retired.retain(|id, _| self.published.contains_key(id));
        for (id, mut old) in old {
            let Some(new) = self.published.get_mut(&id) else {
                continue;
            };
            if old.rollout.is_some() && new.rollout.is_none() {
                let (frontend, stage) = (&id.frontend, &id.name);
                tracing::warn!(frontend, stage, "trial ended by the reload");
                old.end_rollout(TrialEnd::Superseded);
            }
            new.ended.clone_from(&old.ended);
            // If the component and its configuration are the same, a rollback to the old version
            // would change nothing.
            if !old.is_same_as(new) {
                let reason = if old.active.is_failing() {
                    Retirement::Failed
                } else {
                    Retirement::Replaced
                };
                self.retire(&id, old, reason);
            }
        }
    }

    /// Renames a stage. From now on, its retired versions are restarted under the new name.
    fn rename(&mut self, former: &StageId, now: StageId) {
        if let Some(mut retired) = self.retired.remove(former) {
            for one in &mut retired {
                one.stage.name.clone_from(&now.name);
            }
            self.retired.insert(now.clone(), retired);
        }
        if let Some(mut published) = self.published.remove(former) {
            published.stage.name.clone_from(&now.name);
            self.published.insert(now, published);
        }
    }

    /// Moves the retired versions to the engine of `loader`. Their code is not loaded until a
    /// rollback needs it.
    pub fn move_retired(&mut self, loader: &Loader) {
        for (id, retired) in &mut self.retired {
            retired.retain_mut(|one| {
                let plugin = one.version.plugin();
                if loader.has(plugin) {
                    return true;
                }
                match loader.adopt(plugin) {
                    Ok(plugin) => one.version = Arc::new(one.version.with_plugin(plugin)),
                    Err(error) => {
                        let version = one.version.number();
                        let (frontend, stage) = (&id.frontend, &id.name);
                        tracing::warn!(
                            frontend,
                            stage,
                            version,
                            %error,
                            "earlier version discarded: no rollback to it is possible"
                        );
                        return false;
                    }
                }
                true
            });
        }
    }

    fn retire(&mut self, id: &StageId, old: Published, reason: Retirement) {
        let now = self.published.get(id);
        let active = now.map(|now| now.active.number());
        let retired = self.retired.entry(id.to_owned()).or_default();
        // A version that is in service again is no longer a retired version.
        retired.retain(|one| Some(one.version.number()) != active);
        // The code is freed once no worker runs it, unless a version in service uses the same code.
        let plugin = old.active.plugin().released();
        plugin.evict();
        retired.push_front(RetiredVersion {
            version: Arc::new(old.active.with_plugin(plugin)),
            stage: old.stage,
            cause: old.cause,
            reason,
        });
        retired.truncate(MAX_RETIRED);
    }
}
